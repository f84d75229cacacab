# SPDX-License-Identifier: BSD-3-Clause
# image.cmake - link a bare-metal image twice: the second time with the symbol table of the first
# (platform/common/symtab.h), which stands where it moves no function; a check makes sure of that.

# selkie_link_image(NAME BASE LIBRARY...): NAME.elf and NAME.stripped from the object libraries.
# BASE is the symbol at the start of the text. With SELKIE_IMAGE_RELOCS the image also gets the list of
# its own addresses (cmake/relocs.sh), in the same way. SELKIE_IMAGE_LINK: more options of the linker.
function(selkie_link_image name base)
  set(objects ${ARGN})
  list(TRANSFORM objects REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>")
  set(symtab ${CMAKE_BINARY_DIR}/${name}-symtab.S)
  set(relocs "")
  if(SELKIE_IMAGE_RELOCS)
    set(relocs ${CMAKE_BINARY_DIR}/${name}-relocs.S)
    set(relocs_command ${CMAKE_SOURCE_DIR}/cmake/relocs.sh ${CMAKE_READELF})
    set(relocs_check COMMAND ${relocs_command} $<TARGET_FILE:${name}> > ${relocs}.check
      COMMAND ${CMAKE_COMMAND} -E compare_files ${relocs} ${relocs}.check)
    add_custom_command(OUTPUT ${relocs}
      COMMAND ${relocs_command} $<TARGET_FILE:${name}-first> > ${relocs}
      DEPENDS ${name}-first ${CMAKE_SOURCE_DIR}/cmake/relocs.sh VERBATIM)
  endif()
  add_executable(${name}-first ${objects})
  add_executable(${name} ${objects} ${symtab} ${relocs})
  foreach(image ${name}-first ${name})
    set_target_properties(${image} PROPERTIES SUFFIX .elf LINKER_LANGUAGE C
      LINK_DEPENDS ${isa_dir}/linker.ld)
    target_link_options(${image} PRIVATE ${SELKIE_MACHINE_FLAGS} -nostdlib -static $<$<C_COMPILER_ID:GNU>:-no-pie>
      -Wl,-T,${isa_dir}/linker.ld -Wl,--gc-sections -Wl,--build-id=none -Wl,-z,noexecstack
      ${SELKIE_IMAGE_LINK} -Wl,-z,max-page-size=4096 $<$<BOOL:${SELKIE_IMAGE_RELOCS}>:-Wl,--emit-relocs>)
  endforeach()
  add_custom_command(OUTPUT ${symtab}
    COMMAND ${CMAKE_SOURCE_DIR}/cmake/symtab.sh ${CMAKE_NM} $<TARGET_FILE:${name}-first> ${base} > ${symtab}
    COMMAND ${CMAKE_SOURCE_DIR}/cmake/symtab.sh -l ${CMAKE_NM} $<TARGET_FILE:${name}-first> ${base} > ${symtab}.list
    DEPENDS ${name}-first ${CMAKE_SOURCE_DIR}/cmake/symtab.sh VERBATIM)
  add_custom_command(TARGET ${name} POST_BUILD
    COMMAND ${CMAKE_SOURCE_DIR}/cmake/symtab.sh -l ${CMAKE_NM} $<TARGET_FILE:${name}> ${base} > ${symtab}.check
    COMMAND ${CMAKE_COMMAND} -E compare_files ${symtab}.list ${symtab}.check
    ${relocs_check}
    COMMAND ${CMAKE_OBJCOPY} --strip-all $<TARGET_FILE:${name}> ${CMAKE_BINARY_DIR}/${name}.stripped
    VERBATIM)
endfunction()
