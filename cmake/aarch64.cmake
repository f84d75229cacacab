# SPDX-License-Identifier: BSD-3-Clause
# aarch64.cmake - the bare-metal kernel image: selkie-aarch64.elf, and selkie-aarch64.img to boot from.

# Landing pads for BTI; return addresses signed with key B, because programs have key A. Not in debug builds: QEMU does
# not tell debuggers which bits of an address are its signature.
if(SELKIE_DEBUG)
  list(APPEND SELKIE_MACHINE_FLAGS -mbranch-protection=bti)
else()
  list(APPEND SELKIE_MACHINE_FLAGS -mbranch-protection=pac-ret+b-key+bti)
endif()

file(GLOB platform_sources CONFIGURE_DEPENDS ${isa_dir}/*.c ${isa_dir}/*.S)
file(GLOB common_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/platform/common/*.c)
add_library(platform OBJECT ${platform_sources} ${common_sources})
target_link_libraries(platform PRIVATE selkie_freestanding selkie_sanitizer)
foreach(part kernel isa platform)
  target_compile_options(${part} PRIVATE ${SELKIE_MACHINE_FLAGS})
endforeach()
# The only C that runs with the MMU off, where unaligned accesses fault.
set_property(SOURCE ${isa_dir}/early.c APPEND PROPERTY COMPILE_OPTIONS -mstrict-align)

set(SELKIE_IMAGE_RELOCS ON)
include(cmake/image.cmake)
# The flat image that QEMU and boot loaders want (Linux Image header, platform/aarch64/boot.S).
function(selkie_flat_image name)
  add_custom_command(TARGET ${name} POST_BUILD
    COMMAND ${CMAKE_OBJCOPY} -O binary $<TARGET_FILE:${name}> ${CMAKE_BINARY_DIR}/${name}.img
    VERBATIM)
endfunction()
selkie_link_image(selkie-aarch64 aarch64_text_begin kernel isa platform)
selkie_flat_image(selkie-aarch64)

# A kernel that only tries its HAL (unit/platform/hal_test_kernel.c). Not built by default.
set(hal_test_dir ${CMAKE_SOURCE_DIR}/unit/platform)
if(EXISTS ${hal_test_dir}/hal_test_user_aarch64.S)
  add_library(hal-test-objects OBJECT EXCLUDE_FROM_ALL
    ${CMAKE_SOURCE_DIR}/kernel/lib/conframe.c ${CMAKE_SOURCE_DIR}/kernel/lib/string.c
    ${CMAKE_SOURCE_DIR}/kernel/lib/strutil.c
    ${hal_test_dir}/hal_attack.c ${hal_test_dir}/hal_attack_aarch64.c
    ${hal_test_dir}/hal_test_kernel.c ${hal_test_dir}/hal_test_user_aarch64.S)
  target_link_libraries(hal-test-objects PRIVATE selkie_freestanding selkie_sanitizer)
  target_compile_options(hal-test-objects PRIVATE ${SELKIE_MACHINE_FLAGS})
  selkie_link_image(hal-test aarch64_text_begin hal-test-objects isa platform)
  selkie_flat_image(hal-test)
  set_target_properties(hal-test hal-test-first PROPERTIES EXCLUDE_FROM_ALL ON)
endif()
