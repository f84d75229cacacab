# SPDX-License-Identifier: BSD-3-Clause
# host_program.cmake - kernel sources as an ordinary host program: unit tests and fuzz targets.
#
# A program is one C file, linked with the kernel sources that its comment
#   /* sources: kernel/lib/rbtree.c unit/fake_hal.c */
# names among its first lines (kernel/mm/ is all of that folder, a name without a slash one of the groups below), and
# /* include: DIR... */ folders that come before unit/include. They run on the host, compiled as the preset says
# (sanitizers, coverage).
# Kernel headers stand in place of libc's where the names are the kernel's own; unit/include comes first and holds
# the stand-ins for what a backend gives (hal_inline.h, isa/).
set(sources_mm kernel/mm/ kernel/lib/radix.c kernel/lib/rbtree.c kernel/lib/strutil.c kernel/core/spinlock.c
  kernel/core/panic.c kernel/core/log.c kernel/core/percpu.c unit/fake_hal.c unit/fake_sched.c)
set(sources_fs ${sources_mm} kernel/fs/ kernel/core/random.c kernel/lib/format.c kernel/lib/strbuf.c unit/fs/fake_fs.c)
# The scheduler on simulated CPUs.
set(sources_sched unit/sched/sim.c unit/fake_kmalloc.c kernel/core/chaos.c kernel/lib/strutil.c
  kernel/sched/watchdog.c kernel/sched/sched.c kernel/sched/calm.c kernel/sched/balance.c kernel/sched/runqueue.c kernel/sched/thread.c
  kernel/sched/reap.c kernel/sched/cpu.c kernel/sched/sleep.c kernel/sched/params.c kernel/sched/timer.c
  kernel/sched/wait.c kernel/sched/mutex.c kernel/sched/rwlock.c kernel/sched/clock.c kernel/sched/barrier.c
  kernel/sched/pi.c kernel/sched/idle.c kernel/sched/account.c kernel/sched/rcu.c kernel/core/percpu.c
  kernel/core/spinlock.c kernel/lib/rbtree.c)

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

# How the files of a host program are compiled. lines: the head of its C file.
function(host_options target lines)
  target_include_directories(${target} BEFORE PRIVATE ${CMAKE_SOURCE_DIR}/unit/include
    ${CMAKE_SOURCE_DIR}/kernel ${CMAKE_SOURCE_DIR}/platform ${CMAKE_SOURCE_DIR}/unit)
  string(REGEX MATCH "/\\* include: ([^*]*[^* ]) \\*/" found "${lines}")
  if(found)
    string(REPLACE " " ";${CMAKE_SOURCE_DIR}/" folders ${CMAKE_SOURCE_DIR}/${CMAKE_MATCH_1})
    target_include_directories(${target} BEFORE PRIVATE ${folders})
  endif()
  target_compile_definitions(${target} PRIVATE SELKIE_UNIT_TEST=1 ${HOST_DEFINITIONS}
    $<TARGET_PROPERTY:selkie_freestanding,INTERFACE_COMPILE_DEFINITIONS>)
  # /* define: SELKIE_OPTION=1 */: one that the preset does not have. Options come behind the definitions.
  string(REGEX MATCH "/\\* define: (SELKIE_[A-Z_]+)=([01]) \\*/" found "${lines}")
  if(found)
    target_compile_options(${target} PRIVATE -U${CMAKE_MATCH_1} -D${CMAKE_MATCH_1}=${CMAKE_MATCH_2})
  endif()
  # cmocka.h wants these before it, whatever order clang-format gives the includes.
  target_compile_options(${target} PRIVATE -g -fno-strict-aliasing -fno-omit-frame-pointer -fwrapv "SHELL:-include stdarg.h"
    "SHELL:-include stddef.h" "SHELL:-include stdint.h" "SHELL:-include setjmp.h" ${HOST_OPTIONS})
  target_link_libraries(${target} PRIVATE selkie_warnings selkie_sanitizer)
endfunction()

# The objects of `sources`, each compiled once for all programs that want it compiled alike.
function(host_objects lines sources result)
  string(REGEX MATCH "/\\* include: ([^*]*[^* ]) \\*/" include "${lines}")
  string(REGEX MATCH "/\\* define: (SELKIE_[A-Z_]+)=([01]) \\*/" define "${lines}")
  set(objects "")
  foreach(source ${sources})
    string(MD5 id "${include} ${define} ${HOST_DEFINITIONS} ${HOST_OPTIONS} ${source}")
    string(SUBSTRING ${id} 0 10 id)
    get_filename_component(name ${source} NAME_WE)
    if(NOT TARGET host-${name}-${id})
      add_library(host-${name}-${id} OBJECT ${source})
      host_options(host-${name}-${id} "${lines}")
    endif()
    list(APPEND objects $<TARGET_OBJECTS:host-${name}-${id}>)
  endforeach()
  set(${result} ${objects} PARENT_SCOPE)
endfunction()

# host_program(TARGET FILE [MORE...]): an executable of FILE, what it names, and MORE. The variables HOST_DEFINITIONS and
# HOST_OPTIONS of the caller hold for all of it.
function(host_program target file)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(STRINGS ${file} lines LIMIT_COUNT 30)
  host_sources("${lines}" sources)
  host_objects("${lines}" "${sources}" objects)
  add_executable(${target} ${file} ${objects} ${ARGN})
  host_options(${target} "${lines}")
endfunction()
