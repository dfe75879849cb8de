# The warnings that all of the project's own code is held to, gcc and clang alike.
set(VQRANK_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wvla -Wcast-qual -Wwrite-strings)
if(VQRANK_WERROR)
  list(APPEND VQRANK_WARNINGS -Werror)
endif()
set(VQRANK_C_WARNINGS ${VQRANK_WARNINGS} -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wno-sign-conversion)

# a * b + c stays two roundings unless the text says fma: the same bits from every compiler.
set(VQRANK_NUMERICS -ffp-contract=off)

function(vqrank_c_options target)
  target_compile_options(${target} PRIVATE ${VQRANK_C_WARNINGS} ${VQRANK_NUMERICS})
  set_target_properties(${target} PROPERTIES C_VISIBILITY_PRESET hidden)
endfunction()
