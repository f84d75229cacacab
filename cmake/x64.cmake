# SPDX-License-Identifier: BSD-3-Clause
# x64.cmake - the bare-metal kernel image: selkie-x64.elf, and selkie-x64.stripped to boot from.

file(GLOB platform_sources CONFIGURE_DEPENDS ${isa_dir}/*.c ${isa_dir}/*.S)
file(GLOB common_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/platform/common/*.c)
add_library(platform OBJECT ${platform_sources} ${common_sources})
target_link_libraries(platform PRIVATE selkie_freestanding selkie_sanitizer)
foreach(part kernel isa platform)
  target_compile_options(${part} PRIVATE ${SELKIE_MACHINE_FLAGS})
  if(CMAKE_C_COMPILER_ID STREQUAL "GNU") # or every object of 32 bytes and more is aligned to 32; what needs it says so
    target_compile_options(${part} PRIVATE $<$<COMPILE_LANGUAGE:C>:-malign-data=abi>)
  endif()
endforeach()

set(SELKIE_IMAGE_RELOCS ON)
set(SELKIE_IMAGE_LINK -Wl,-n) # in the file no room of a page behind the headers: pages begin in memory
include(cmake/image.cmake)
selkie_link_image(selkie-x64 x64_text_begin kernel isa platform)

# A kernel that only tries the HAL, for work on the backend: ninja hal-test.
add_library(hal-test-objects OBJECT EXCLUDE_FROM_ALL
  ${CMAKE_SOURCE_DIR}/unit/platform/hal_test_kernel.c
  ${CMAKE_SOURCE_DIR}/unit/platform/hal_attack.c ${CMAKE_SOURCE_DIR}/unit/platform/hal_attack_x64.c
  ${CMAKE_SOURCE_DIR}/unit/platform/hal_test_user_${SELKIE_ISA}.S
  ${CMAKE_SOURCE_DIR}/kernel/lib/conframe.c ${CMAKE_SOURCE_DIR}/kernel/lib/string.c
    ${CMAKE_SOURCE_DIR}/kernel/lib/strutil.c)
target_link_libraries(hal-test-objects PRIVATE selkie_freestanding selkie_sanitizer)
target_include_directories(hal-test-objects PRIVATE ${isa_dir}) # hal_attack_x64.c
target_compile_options(hal-test-objects PRIVATE ${SELKIE_MACHINE_FLAGS})
selkie_link_image(hal-test x64_text_begin hal-test-objects isa platform)
set_target_properties(hal-test hal-test-first PROPERTIES EXCLUDE_FROM_ALL ON)
