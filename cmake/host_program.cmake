# SPDX-License-Identifier: BSD-3-Clause
# host_program.cmake - kernel sources as an ordinary host program: unit tests and fuzz targets.
#
# A program is one C file, linked with the kernel sources that its comment
#   /* sources: kernel/lib/rbtree.c unit/fake_hal.c */
# names among its first lines (kernel/mm/ is all of that folder, a name without a slash one of the groups below), and
# /* include: DIR */ a folder that comes before unit/include. They run on the host, compiled as the preset says
# (sanitizers, coverage).
# Kernel headers stand in place of libc's where the names are the kernel's own; unit/include comes first and holds
# the stand-ins for what a backend gives (hal_inline.h, isa/).
set(sources_mm kernel/mm/ kernel/lib/radix.c kernel/lib/rbtree.c kernel/lib/strutil.c kernel/core/spinlock.c
  kernel/core/panic.c kernel/core/log.c kernel/core/percpu.c unit/fake_hal.c unit/fake_sched.c)
set(sources_fs ${sources_mm} kernel/fs/ kernel/core/random.c kernel/lib/format.c kernel/lib/strbuf.c unit/fs/fake_fs.c)

# The files that the comment in `lines` (the head of a C file) names.
function(host_sources lines result)
  string(REGEX MATCH "/\\* sources: ([^*]*)\\*/" found "${lines}")
  set(sources "")
  set(files "")
  if(found)
    string(REGEX REPLACE "[; \n\t]+" ";" names "${CMAKE_MATCH_1}")
    foreach(name_or_group ${names})
      if(name_or_group MATCHES "/")
        list(APPEND files ${name_or_group})
      else()
        list(APPEND files ${sources_${name_or_group}})
      endif()
    endforeach()
    foreach(source ${files})
      if(source MATCHES "/$")
        file(GLOB source CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${source}*.c)
        list(APPEND sources ${source})
      else()
        list(APPEND sources ${CMAKE_SOURCE_DIR}/${source})
      endif()
    endforeach()
  endif()
  set(${result} ${sources} PARENT_SCOPE)
endfunction()

# host_program(TARGET FILE [MORE...]): an executable of FILE, what it names, and MORE.
function(host_program target file)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(STRINGS ${file} lines LIMIT_COUNT 30)
  host_sources("${lines}" sources)
  add_executable(${target} ${file} ${sources} ${ARGN})
  target_include_directories(${target} BEFORE PRIVATE ${CMAKE_SOURCE_DIR}/unit/include
    ${CMAKE_SOURCE_DIR}/kernel ${CMAKE_SOURCE_DIR}/platform ${CMAKE_SOURCE_DIR}/unit)
  string(REGEX MATCH "/\\* include: ([^* ]*) \\*/" found "${lines}")
  if(found)
    target_include_directories(${target} BEFORE PRIVATE ${CMAKE_SOURCE_DIR}/${CMAKE_MATCH_1})
  endif()
  target_compile_definitions(${target} PRIVATE SELKIE_UNIT_TEST=1
    $<TARGET_PROPERTY:selkie_freestanding,INTERFACE_COMPILE_DEFINITIONS>)
  # /* define: SELKIE_OPTION=1 */: one that the preset does not have. Options come behind the definitions.
  string(REGEX MATCH "/\\* define: (SELKIE_[A-Z_]+)=([01]) \\*/" found "${lines}")
  if(found)
    target_compile_options(${target} PRIVATE -U${CMAKE_MATCH_1} -D${CMAKE_MATCH_1}=${CMAKE_MATCH_2})
  endif()
  # cmocka.h wants these before it, whatever order clang-format gives the includes.
  target_compile_options(${target} PRIVATE -g -fno-strict-aliasing -fno-omit-frame-pointer -fwrapv "SHELL:-include stdarg.h"
    "SHELL:-include stddef.h" "SHELL:-include stdint.h" "SHELL:-include setjmp.h")
  target_link_libraries(${target} PRIVATE selkie_warnings selkie_sanitizer)
endfunction()
