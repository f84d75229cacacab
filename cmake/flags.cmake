# SPDX-License-Identifier: BSD-3-Clause
# flags.cmake - compiler flags by kind of code. Two kinds:
#   selkie_freestanding  the kernel, the HAL's run-time half, the ISA code: no libc, no vector registers
#   selkie_warnings      everything, host tools and tests included

add_library(selkie_warnings INTERFACE)
target_compile_options(selkie_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:C>:-Wall -Wextra -Werror -Wshadow -Wundef -Wstrict-prototypes -Wmissing-prototypes
    -Wold-style-definition -Wvla -Wpointer-arith -Wwrite-strings -Wformat=2 -Wimplicit-fallthrough
    -Wno-unused-parameter -Wno-missing-field-initializers -fno-common>
  $<$<AND:$<COMPILE_LANGUAGE:C>,$<C_COMPILER_ID:GNU>>:-Wlogical-op -Wduplicated-cond>)

add_library(selkie_freestanding INTERFACE)
target_link_libraries(selkie_freestanding INTERFACE selkie_warnings)
target_compile_options(selkie_freestanding INTERFACE
  $<$<COMPILE_LANGUAGE:C>:-ffreestanding -fno-strict-aliasing -fno-delete-null-pointer-checks -fwrapv
    -mgeneral-regs-only -fno-omit-frame-pointer -fno-optimize-sibling-calls
    -fno-asynchronous-unwind-tables -fno-unwind-tables -ffunction-sections -fdata-sections
    -fstack-protector-strong -mstack-protector-guard=global>
  # Otherwise the loops of lib/string.c are turned into calls of themselves.
  $<$<AND:$<COMPILE_LANGUAGE:C>,$<C_COMPILER_ID:GNU>>:-fno-tree-loop-distribute-patterns -fno-ipa-icf>
  $<$<AND:$<COMPILE_LANGUAGE:C>,$<C_COMPILER_ID:Clang>>:-fno-builtin>
  -g)
target_include_directories(selkie_freestanding INTERFACE
  ${CMAKE_SOURCE_DIR}/kernel ${CMAKE_SOURCE_DIR}/platform)

# Values are always defined, 0 or 1 (docs/style: -Wundef).
foreach(option DEBUG PREEMPT MEMORY_DEBUG SIM FAILPOINTS)
  target_compile_definitions(selkie_freestanding INTERFACE SELKIE_${option}=$<BOOL:${SELKIE_${option}}>)
endforeach()
set(sanitize_on 0)
if(NOT SELKIE_SANITIZE STREQUAL "none")
  set(sanitize_on 1)
endif()
# On bare metal the run-time library is ours (platform/common/kasan.c), and its shadow begins where this says: the shadow
# byte of an address is at address / 8 + offset, for kernel addresses, which begin at the half (layout.h shows the place).
set(kasan_on 0)
if(SELKIE_SANITIZE STREQUAL "address" AND SELKIE_BACKEND MATCHES "^(x64|aarch64)$")
  set(kasan_on 1)
elseif(sanitize_on AND NOT SELKIE_BACKEND STREQUAL "hosted")
  message(FATAL_ERROR "SELKIE_SANITIZE=${SELKIE_SANITIZE} needs the hosted backend")
endif()
if(SELKIE_BACKEND STREQUAL "aarch64")
  set(kasan_offset 0xdfff800000000000)
  set(kasan_half 0xffff000000000000)
else()
  set(kasan_offset 0xdffffc0000000000)
  set(kasan_half 0xffff800000000000)
endif()
target_compile_definitions(selkie_freestanding INTERFACE SELKIE_SANITIZE=${sanitize_on}
  SELKIE_ASAN=$<STREQUAL:${SELKIE_SANITIZE},address> SELKIE_TSAN=$<STREQUAL:${SELKIE_SANITIZE},thread>
  SELKIE_KASAN=${kasan_on} SELKIE_KASAN_OFFSET=${kasan_offset} SELKIE_KASAN_HALF=${kasan_half})

add_library(selkie_sanitizer INTERFACE)
if(kasan_on)
  # Checks are calls; only stack frames write to the shadow themselves.
  target_compile_options(selkie_sanitizer INTERFACE
    $<$<COMPILE_LANGUAGE:C>:-fsanitize=kernel-address -fasan-shadow-offset=${kasan_offset}
      --param=asan-instrumentation-with-call-threshold=0 --param=asan-globals=1 --param=asan-stack=1 --param=asan-instrument-allocas=1
      -fsanitize-address-use-after-scope>)
elseif(SELKIE_SANITIZE STREQUAL "address")
  target_compile_options(selkie_sanitizer INTERFACE
    $<$<COMPILE_LANGUAGE:C>:-fsanitize=address,undefined -fno-sanitize-recover=undefined>)
  target_link_options(selkie_sanitizer INTERFACE -fsanitize=address,undefined)
elseif(SELKIE_SANITIZE STREQUAL "thread")
  target_compile_options(selkie_sanitizer INTERFACE $<$<COMPILE_LANGUAGE:C>:-fsanitize=thread>)
  target_link_options(selkie_sanitizer INTERFACE -fsanitize=thread)
elseif(NOT SELKIE_SANITIZE STREQUAL "none")
  message(FATAL_ERROR "SELKIE_SANITIZE must be none, address or thread, not '${SELKIE_SANITIZE}'")
endif()
if(SELKIE_COVERAGE)
  target_compile_options(selkie_sanitizer INTERFACE $<$<COMPILE_LANGUAGE:C>:--coverage -fprofile-update=atomic>)
  target_link_options(selkie_sanitizer INTERFACE --coverage)
endif()
