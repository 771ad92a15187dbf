# The CUDA compiler, where there is one. The project's language is C++; CUDA joins it here or not at all.
#
#   CHUNKKV_CUDA                AUTO (default): the kernels are built where a compiler is found, except under sanitizers.
#                               ON: they are built, or configuring fails. OFF: no compiler is looked for.
#   CHUNKKV_CUDA_TOOLKIT        folder of a toolkit that deploy/install-cuda.sh put together; looked at last
#   CHUNKKV_CUDA_ARCHITECTURES  what the kernels are compiled for, as CMake's CUDA_ARCHITECTURES
#
# Sets CHUNKKV_HAS_CUDA_COMPILER. Only where it is true may chunkkv_cuda_library be called and may targets have .cu
# sources; chunkkv_library and chunkkv_test take those too.

set(CHUNKKV_CUDA AUTO CACHE STRING "CUDA kernels: AUTO, ON or OFF")
set_property(CACHE CHUNKKV_CUDA PROPERTY STRINGS AUTO ON OFF)
set(CHUNKKV_CUDA_TOOLKIT ${PROJECT_SOURCE_DIR}/.cuda CACHE PATH "Folder of a CUDA toolkit, looked at last")
set(CHUNKKV_CUDA_ARCHITECTURES "80-real;90-real;100-real;100-virtual" CACHE STRING
    "Machine code (real) and PTX (virtual) of the CUDA kernels")

# The first nvcc that is recent enough, in the order of deploy/install-cuda.sh; empty where there is none.
function(chunkkv_find_nvcc result)
  find_program(on_path nvcc NO_CACHE)
  foreach(nvcc "${CMAKE_CUDA_COMPILER}" "$ENV{CUDACXX}" "${on_path}" "$ENV{CUDA_HOME}/bin/nvcc"
               "$ENV{CUDA_PATH}/bin/nvcc" /usr/local/cuda/bin/nvcc "${CHUNKKV_CUDA_TOOLKIT}/bin/nvcc")
    if(NOT EXISTS "${nvcc}")
      continue()
    endif()
    execute_process(COMMAND ${nvcc} --version OUTPUT_VARIABLE version ERROR_QUIET)
    if(version MATCHES "release ([0-9.]+)," AND CMAKE_MATCH_1 VERSION_GREATER_EQUAL 12.8)  # the first with sm_100
      set(${result} ${nvcc} PARENT_SCOPE)
      return()
    endif()
    message(STATUS "CUDA: ${nvcc} is older than 12.8, or does not run")
  endforeach()
  set(${result} "" PARENT_SCOPE)
endfunction()

set(CHUNKKV_HAS_CUDA_COMPILER FALSE)
if(NOT CHUNKKV_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "CHUNKKV_CUDA is ${CHUNKKV_CUDA}: it may be AUTO, ON or OFF.")
elseif(CHUNKKV_CUDA STREQUAL "ON" AND CHUNKKV_SANITIZE)
  message(FATAL_ERROR "CHUNKKV_CUDA is ON, which does not go with CHUNKKV_SANITIZE: nvcc instruments nothing.")
elseif(CHUNKKV_CUDA STREQUAL "AUTO" AND CHUNKKV_SANITIZE)
  message(STATUS "CUDA: off under sanitizers")
elseif(NOT CHUNKKV_CUDA STREQUAL "OFF")
  chunkkv_find_nvcc(nvcc)
  if(nvcc)
    set(CHUNKKV_HAS_CUDA_COMPILER TRUE)
  elseif(CHUNKKV_CUDA STREQUAL "AUTO")
    message(STATUS "CUDA: no compiler found, the kernels for GPUs are not built (deploy/install-cuda.sh installs one)")
  else()
    message(FATAL_ERROR "CHUNKKV_CUDA is ON and no nvcc of CUDA 12.8 or later was found on PATH, in CUDA_HOME, "
                        "CUDA_PATH, /usr/local/cuda or ${CHUNKKV_CUDA_TOOLKIT}. deploy/install-cuda.sh installs one.")
  endif()
endif()
if(NOT CHUNKKV_HAS_CUDA_COMPILER)
  return()
endif()

set(CMAKE_CUDA_COMPILER ${nvcc})
set(CMAKE_CUDA_ARCHITECTURES ${CHUNKKV_CUDA_ARCHITECTURES})
set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
enable_language(CUDA)
if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # Debian's CMake 3.25.1 knows none after 17 for nvcc
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
find_package(CUDAToolkit REQUIRED QUIET)
message(STATUS "CUDA: kernels by ${CMAKE_CUDA_COMPILER} for ${CMAKE_CUDA_ARCHITECTURES}")

# cuobjdump reads machine code of all earlier versions; it may be absent.
get_filename_component(toolkit_bin ${CMAKE_CUDA_COMPILER} DIRECTORY)
find_program(CHUNKKV_CUOBJDUMP cuobjdump HINTS ${toolkit_bin} NO_CACHE)
find_package(Python3 COMPONENTS Interpreter QUIET)
set(CHUNKKV_KERNEL_REPORT ${CMAKE_CURRENT_LIST_DIR}/kernel_report.py)

# chunkkv_cuda_library(<name> SOURCES ... [PUBLIC <libs>] [PRIVATE <libs>] [INCLUDES <dirs>])
# A chunkkv_library that calls the CUDA runtime, from .cu and .cc. What links to it has CHUNKKV_HAS_CUDA=1, and no CUDA
# headers. Each link prints what its kernels use, and writes it beside the library: <name>.kernels.txt and .json.
function(chunkkv_cuda_library name)
  chunkkv_library(${ARGV})
  target_compile_definitions(${name} PUBLIC CHUNKKV_HAS_CUDA=1)
  target_link_libraries(${name} PRIVATE CUDA::cudart_static)
  if(CHUNKKV_CUOBJDUMP AND Python3_FOUND)
    set(report ${CMAKE_CURRENT_BINARY_DIR}/${name}.kernels)
    add_custom_command(TARGET ${name} POST_BUILD VERBATIM
      COMMAND ${Python3_EXECUTABLE} ${CHUNKKV_KERNEL_REPORT} --cuobjdump ${CHUNKKV_CUOBJDUMP} --output ${report}
              $<TARGET_FILE:${name}>
      BYPRODUCTS ${report}.txt ${report}.json)
  endif()
endfunction()
