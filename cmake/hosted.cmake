# SPDX-License-Identifier: BSD-3-Clause
# hosted.cmake - the kernel as a Linux process.
#
# Two worlds in one executable. The inner one - kernel, ISA, page tables and those hosted/ files that run on virtual CPUs - is freestanding and
# linked into one relocatable object whose symbols (memcpy and the like included) are made local. The outer one
# - main.c and host_*.c - is ordinary C with libc, running before the virtual CPUs start or on I/O threads.

file(GLOB hosted_inner CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/hosted/*.c ${CMAKE_SOURCE_DIR}/hosted/*.S)
file(GLOB hosted_outer CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/hosted/main.c ${CMAKE_SOURCE_DIR}/hosted/host_*.c)
if(hosted_outer)
  list(REMOVE_ITEM hosted_inner ${hosted_outer})
endif()
add_library(hosted-inner OBJECT ${hosted_inner} ${CMAKE_SOURCE_DIR}/platform/common/pgtable.c)
target_link_libraries(hosted-inner PRIVATE selkie_freestanding selkie_sanitizer)
target_include_directories(hosted-inner PRIVATE ${CMAKE_SOURCE_DIR}/hosted)

# Sanitizers fork helpers, which must not write to the kernel's data: there it stays private.
if(SELKIE_SANITIZE STREQUAL "none")
  set(inner_script -T ${CMAKE_SOURCE_DIR}/cmake/inner.ld)
endif()
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/inner.o
  COMMAND ${CMAKE_LINKER} -r -d ${inner_script} -o ${CMAKE_BINARY_DIR}/inner-all.o
    $<TARGET_OBJECTS:kernel> $<TARGET_OBJECTS:isa> $<TARGET_OBJECTS:hosted-inner>
  COMMAND ${CMAKE_OBJCOPY} -w --keep-global-symbol=hosted_* --keep-global-symbol=hal_*
    --keep-global-symbol=kernel_* --keep-global-symbol=isa_* --keep-global-symbol=__stack_chk_guard
    ${CMAKE_BINARY_DIR}/inner-all.o ${CMAKE_BINARY_DIR}/inner.o
  DEPENDS ${CMAKE_SOURCE_DIR}/cmake/inner.ld kernel isa hosted-inner $<TARGET_OBJECTS:kernel> $<TARGET_OBJECTS:isa> $<TARGET_OBJECTS:hosted-inner>
  COMMAND_EXPAND_LISTS VERBATIM)

add_executable(selkie-hosted ${hosted_outer} ${CMAKE_BINARY_DIR}/inner.o)
set_source_files_properties(${CMAKE_BINARY_DIR}/inner.o PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
target_link_libraries(selkie-hosted PRIVATE selkie_warnings selkie_sanitizer pthread)
target_compile_definitions(selkie-hosted PRIVATE
  $<TARGET_PROPERTY:selkie_freestanding,INTERFACE_COMPILE_DEFINITIONS>)
target_include_directories(selkie-hosted PRIVATE
  $<TARGET_PROPERTY:selkie_freestanding,INTERFACE_INCLUDE_DIRECTORIES> ${CMAKE_SOURCE_DIR}/hosted)
target_compile_options(selkie-hosted PRIVATE -g -fPIE)
target_link_options(selkie-hosted PRIVATE -pie -Wl,-z,relro,-z,now,-z,noexecstack)
foreach(inner kernel isa hosted-inner)
  target_compile_options(${inner} PRIVATE -fPIE -mno-red-zone)
endforeach()
# The compiler's calls before every access and atomic operation; hosted/sim_points.c answers them.
if(SELKIE_SIM)
  target_compile_options(kernel PRIVATE $<$<COMPILE_LANGUAGE:C>:-fsanitize=thread -Wno-tsan
    --param=tsan-instrument-func-entry-exit=0>)
endif()
set_target_properties(selkie-hosted PROPERTIES LINKER_LANGUAGE C)
