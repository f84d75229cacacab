# SPDX-License-Identifier: BSD-3-Clause
# kernel.cmake - what every backend shares: the kernel's objects, the ISA's objects, the vDSO.

if(SELKIE_BACKEND STREQUAL "aarch64")
  set(SELKIE_ISA aarch64)
else()
  set(SELKIE_ISA x64) # the hosted backend runs on x86-64 hosts
endif()
set(isa_dir ${CMAKE_SOURCE_DIR}/platform/${SELKIE_ISA})
if(SELKIE_BACKEND STREQUAL "hosted")
  set(hal_include ${CMAKE_SOURCE_DIR}/hosted/include)
else()
  set(hal_include ${isa_dir}/include)
endif()
# isa/ headers are found as "isa/..." below platform/<isa>; hal_inline.h in the backend's include/.
target_include_directories(selkie_freestanding INTERFACE ${hal_include} ${isa_dir})

file(GLOB_RECURSE kernel_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernel/*.c)
add_library(kernel OBJECT ${kernel_sources})
target_link_libraries(kernel PRIVATE selkie_freestanding selkie_sanitizer)
# Its fast paths save no register and make no frame if they may jump to what follows (also tools/bench/kmalloc).
set_source_files_properties(${CMAKE_SOURCE_DIR}/kernel/mm/kmalloc.c PROPERTIES
  COMPILE_OPTIONS "-foptimize-sibling-calls;-momit-leaf-frame-pointer")

# The vDSO: a shared object of its own, embedded by isa/vdso.S.
set(vdso_so ${CMAKE_BINARY_DIR}/vdso.so)
file(GLOB vdso_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/platform/vdso/*.c ${isa_dir}/isa/vdso/*.S)
set(vdso_script ${isa_dir}/isa/vdso/vdso.lds)
set(vdso_target "")
if(CMAKE_C_COMPILER_ID STREQUAL "Clang" AND CMAKE_C_COMPILER_TARGET)
  set(vdso_target --target=${CMAKE_C_COMPILER_TARGET})
endif()
add_custom_command(OUTPUT ${vdso_so}
  COMMAND ${CMAKE_C_COMPILER} ${vdso_target} -O2 -fPIC -fno-stack-protector -fomit-frame-pointer
    -mgeneral-regs-only -Wall -Wextra -Werror -nostdlib -ffreestanding -shared -Wl,-Bsymbolic
    -Wl,--hash-style=both -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,max-page-size=4096
    -Wl,-soname,linux-vdso.so.1 -Wl,-T,${vdso_script}
    -I${CMAKE_SOURCE_DIR}/platform -I${CMAKE_SOURCE_DIR}/kernel -I${isa_dir}/isa/vdso -o ${vdso_so} ${vdso_sources}
  DEPENDS ${vdso_sources} ${vdso_script} ${isa_dir}/isa/vdso/vdso_isa.h ${CMAKE_SOURCE_DIR}/platform/vdso_data.h
  COMMENT "Linking the vDSO" VERBATIM)
set_source_files_properties(${isa_dir}/isa/vdso.S PROPERTIES
  OBJECT_DEPENDS ${vdso_so} COMPILE_OPTIONS "-Wa,-I${CMAKE_BINARY_DIR}")

# Before the shadow is there, or what it is made with (docs/debugging.md); memory by words, checked as a whole; a kernel that
# tries its HAL and so touches user addresses.
if(kasan_on)
  set_source_files_properties(${CMAKE_SOURCE_DIR}/kernel/lib/string.c ${CMAKE_SOURCE_DIR}/platform/common/kasan.c
    ${isa_dir}/kaslr.c ${isa_dir}/early.c ${CMAKE_SOURCE_DIR}/unit/platform/hal_test_kernel.c PROPERTIES
    # (gcc has no -fno-sanitize beside -fasan-shadow-offset.)
    COMPILE_OPTIONS "--param=asan-stack=0;--param=asan-globals=0;--param=asan-instrument-reads=0;--param=asan-instrument-writes=0;--param=asan-memintrin=0;-fno-sanitize-address-use-after-scope")
endif()

file(GLOB isa_sources CONFIGURE_DEPENDS ${isa_dir}/isa/*.c ${isa_dir}/isa/*.S)
add_library(isa OBJECT ${isa_sources})
target_link_libraries(isa PRIVATE selkie_freestanding selkie_sanitizer)

# The kernel as one relocatable object, only to prove what it needs from outside (tools/checks/undefined).
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/kernel.o
  COMMAND ${CMAKE_LINKER} -r -o ${CMAKE_BINARY_DIR}/kernel.o $<TARGET_OBJECTS:kernel>
  DEPENDS kernel $<TARGET_OBJECTS:kernel> COMMAND_EXPAND_LISTS VERBATIM)
add_custom_target(kernel-object DEPENDS ${CMAKE_BINARY_DIR}/kernel.o)
