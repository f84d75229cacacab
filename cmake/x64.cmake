# SPDX-License-Identifier: BSD-3-Clause
# x64.cmake - the bare-metal kernel image.

file(GLOB platform_sources CONFIGURE_DEPENDS ${isa_dir}/*.c ${isa_dir}/*.S)
file(GLOB common_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/platform/common/*.c)
add_library(platform OBJECT ${platform_sources} ${common_sources})
target_link_libraries(platform PRIVATE selkie_freestanding selkie_sanitizer)
foreach(part kernel isa platform)
  target_compile_options(${part} PRIVATE ${SELKIE_MACHINE_FLAGS})
endforeach()

add_executable(selkie-x64 $<TARGET_OBJECTS:kernel> $<TARGET_OBJECTS:isa> $<TARGET_OBJECTS:platform>)
set_target_properties(selkie-x64 PROPERTIES SUFFIX .elf LINKER_LANGUAGE C
  LINK_DEPENDS ${isa_dir}/linker.ld)
target_link_options(selkie-x64 PRIVATE ${SELKIE_MACHINE_FLAGS} -nostdlib -static -no-pie -Wl,-T,${isa_dir}/linker.ld
  -Wl,--gc-sections -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,max-page-size=4096)
