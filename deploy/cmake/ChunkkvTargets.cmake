# Compile settings and the two ways to make a target. Every target in the tree goes through these.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
find_program(LLD_PROGRAM ld.lld)
if(LLD_PROGRAM)
  add_link_options(-fuse-ld=lld)
endif()

set(CHUNKKV_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize= (address,undefined or thread)")
if(CHUNKKV_SANITIZE)
  # GCC takes members of an optional for uninitialised once it is instrumented.
  add_compile_options(-fsanitize=${CHUNKKV_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all
                      -Wno-maybe-uninitialized)
  add_link_options(-fsanitize=${CHUNKKV_SANITIZE})
endif()

option(CHUNKKV_WERROR "Treat warnings as errors" OFF)

# nvcc hands warnings to g++, which compiles its host code; its own front end warns of device code. Kernels may call
# constexpr functions of the host.
function(chunkkv_compile_settings target)
  set(for_cxx -Wall -Wextra)
  set(for_cuda --expt-relaxed-constexpr -Xcompiler=-Wall,-Wextra)
  if(CHUNKKV_WERROR)
    list(APPEND for_cxx -Werror)
    list(APPEND for_cuda -Xcompiler=-Werror -Werror=all-warnings)
  endif()
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${for_cxx}>"
                                           "$<$<COMPILE_LANGUAGE:CUDA>:${for_cuda}>")
endfunction()

# chunkkv_library(<name> SOURCES ... [PUBLIC <libs>] [PRIVATE <libs>] [INCLUDES <dirs>])
# Includes inside service/, client/ and tests/ are written from the repository root.
function(chunkkv_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE;INCLUDES" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR} ${ARG_INCLUDES})
  target_link_libraries(${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
  chunkkv_compile_settings(${name})
endfunction()

# chunkkv_test(<name> SOURCES ... [LIBS <libs>] [LABELS <labels>]): one GoogleTest program, one CTest test a case.
# Label release_only: measures memory, time or ratios, which sanitizers distort.
function(chunkkv_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE CHUNKKV_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  chunkkv_compile_settings(${name})
  set(labels ${ARG_LABELS})
  if(NOT labels)
    set(labels unit)
  endif()
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
                       PROPERTIES LABELS "${labels}" TIMEOUT 300)
endfunction()
