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
# Their fast paths save no register and make no frame if they may jump to what follows (kmalloc: also tools/bench/kmalloc).
set_source_files_properties(${CMAKE_SOURCE_DIR}/kernel/mm/kmalloc.c ${CMAKE_SOURCE_DIR}/kernel/mm/usercopy.c
  ${CMAKE_SOURCE_DIR}/kernel/sched/clock.c PROPERTIES COMPILE_OPTIONS "-foptimize-sibling-calls;-momit-leaf-frame-pointer")

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

# What runs at the start, for a person who looks, or when something goes wrong is compiled for size: a twentieth of the
# image. Paths of packets, files, memory and switches are not here.
if(CMAKE_C_FLAGS MATCHES "-O2" AND SELKIE_SANITIZE STREQUAL "none" AND NOT SELKIE_SIM)
  set(cold
    core/cmdline lib/format mm/compact mm/hotpages mm/hugeobj mm/hugetlb mm/mlock mm/pagemap mm/remap
    sched/params sched/pressure sched/report drv/pci drv/virtio_console drv/virtio_net drv/virtio_pci drv/vmxnet3
    fs/console fs/cpio fs/devfs fs/hugetlbfs fs/initrd fs/inotify fs/locks fs/memfd fs/mount fs/mountopt fs/namei fs/pipe_splice fs/pressure fs/procfs fs/procfs_pid fs/sysfs fs/tty
    fs/tty_ioctl fs/tty_line fs/xattr
    net/addrtext net/arp net/bpf net/bpf_socket net/dhcp net/dhcpmsg net/fragment net/icmp net/icmp4 net/icmp6 net/ifaddr
    net/igmp net/inet_control net/inet_error net/inet_group net/inet_ioctl net/inet_ioctl_set net/inet_option net/inetlist net/mib net/nd6 net/netconf
    net/netlink net/netlink_option net/zerocopy net/netsys net/reuseport net/netlink_diag net/netlink_route net/netlink_show net/netproc net/option net/packet net/route net/packet_option
    net/packet_ring net/port net/raw net/reass net/tcp_cookie net/tcp_info net/tcp_recover net/tcp_sock_option
    net/tcp_sock_tw net/tcp_tw net/unix_files net/unix_name net/unix_peek
    proc/coredump proc/crash proc/cred proc/elf proc/exec proc/futex_requeue proc/hostname proc/image proc/itimer proc/load
    proc/posix_timer proc/procinfo proc/vdso
    core/log core/panic core/chaos sched/balance mm/advise mm/code sched/watchdog sched/reap drv/virtio_mmio drv/virtio_rng fs/context
    fs/pseudo fs/readdir net/control net/packet_tap net/sysctl net/tcp_fastopen net/unix_connect proc/leftover
    proc/deliver proc/process linux/sys_mm linux/sys_pidfd linux/sys_sched main
    linux/strace linux/strace_names linux/strace_socket linux/sys_cred linux/sys_file_attr linux/sys_file_name
    linux/sys_file_copy linux/sys_file_owner linux/sys_info linux/sys_mount linux/sys_prctl linux/sys_proc linux/sys_shm linux/sys_time linux/sys_xattr
    drv/faulty_console drv/faulty_netdev net/farewell net/net proc/patch proc/stack proc/futex_pi net/neigh net/tcp_timer linux/sys_signal
    linux/sys_file_open net/inet_group net/option_rare net/tcp_sock_open linux/sys_file_event drv/netdev drv/vmxnet3_io fs/timerfd
    core/random lib/conframe mm/kvm mm/reclaim net/tcp_sock_fast net/tcp_sock_memory proc/clone proc/futex_exit proc/task
    sched/cpu sched/pi sched/semaphore net/tcp_listen proc/signal proc/deliver fs/open linux/sys_stat net/unix fs/inode)
  foreach(name ${cold})
    set_property(SOURCE ${CMAKE_SOURCE_DIR}/kernel/${name}.c APPEND PROPERTY COMPILE_OPTIONS -Os)
  endforeach()
  foreach(name common/acpi common/bootmem common/console common/core common/dtb common/pcihost common/symtab ${SELKIE_ISA}/cpu ${SELKIE_ISA}/mem ${SELKIE_ISA}/power ${SELKIE_ISA}/boot ${SELKIE_ISA}/console ${SELKIE_ISA}/dev ${SELKIE_ISA}/kaslr
      common/pl011 common/serial_16550
      ${SELKIE_ISA}/isa/cpuinfo ${SELKIE_ISA}/isa/insn ${SELKIE_ISA}/isa/patch ${SELKIE_ISA}/isa/report ${SELKIE_ISA}/isa/sigframe)
    set_property(SOURCE ${CMAKE_SOURCE_DIR}/platform/${name}.c APPEND PROPERTY COMPILE_OPTIONS -Os)
  endforeach()
endif()

# In an image neither jump targets nor, but for a word, functions are aligned: 6 % of the text. Small loops that everything waits for
# keep theirs.
if(CMAKE_C_FLAGS MATCHES "-O2" AND CMAKE_C_COMPILER_ID STREQUAL "GNU" AND NOT SELKIE_BACKEND STREQUAL "hosted")
  target_compile_options(kernel PRIVATE $<$<COMPILE_LANGUAGE:C>:-falign-functions=4 -falign-loops=1 -falign-jumps=1>)
  file(GLOB tight ${CMAKE_SOURCE_DIR}/kernel/lib/*.c ${CMAKE_SOURCE_DIR}/kernel/core/*.c ${CMAKE_SOURCE_DIR}/kernel/sched/*.c)
  foreach(source ${tight} ${CMAKE_SOURCE_DIR}/kernel/mm/kmalloc.c ${CMAKE_SOURCE_DIR}/kernel/mm/slab.c)
    set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS -falign-functions -falign-loops -falign-jumps)
  endforeach()
  foreach(name ${cold})
    set_property(SOURCE ${CMAKE_SOURCE_DIR}/kernel/${name}.c APPEND PROPERTY COMPILE_OPTIONS -falign-functions=1 -falign-loops=1 -falign-jumps=1)
  endforeach()
endif()

file(GLOB isa_sources CONFIGURE_DEPENDS ${isa_dir}/isa/*.c ${isa_dir}/isa/*.S)
add_library(isa OBJECT ${isa_sources})
target_link_libraries(isa PRIVATE selkie_freestanding selkie_sanitizer)

# The kernel as one relocatable object, only to prove what it needs from outside (tools/checks/undefined).
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/kernel.o
  COMMAND ${CMAKE_LINKER} -r -o ${CMAKE_BINARY_DIR}/kernel.o $<TARGET_OBJECTS:kernel>
  DEPENDS kernel $<TARGET_OBJECTS:kernel> COMMAND_EXPAND_LISTS VERBATIM)
add_custom_target(kernel-object DEPENDS ${CMAKE_BINARY_DIR}/kernel.o)
