# find_package(chunkkv): target chunkkv::client, the C++ client with all it links.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
find_dependency(Protobuf)
find_dependency(absl)
find_dependency(gRPC)
find_dependency(hwy)
find_dependency(OpenSSL)


find_library(CHUNKKV_XXHASH_LIBRARY xxhash REQUIRED)

if(NOT TARGET chunkkv::client)
  foreach(name base kernels format proto client)
    add_library(chunkkv::${name} STATIC IMPORTED)
    find_library(CHUNKKV_${name}_LIBRARY chunkkv_${name} PATHS "${CMAKE_CURRENT_LIST_DIR}/../.." NO_DEFAULT_PATH REQUIRED)
    set_target_properties(chunkkv::${name} PROPERTIES
      IMPORTED_LOCATION "${CHUNKKV_${name}_LIBRARY}"
      INTERFACE_COMPILE_FEATURES cxx_std_20
      INTERFACE_INCLUDE_DIRECTORIES "${CMAKE_CURRENT_LIST_DIR}/../../../include/chunkkv")
  endforeach()
  target_link_libraries(chunkkv::base INTERFACE Threads::Threads absl::core_headers)
  target_link_libraries(chunkkv::kernels INTERFACE absl::status absl::statusor absl::span absl::strings hwy::hwy)
  target_link_libraries(chunkkv::format INTERFACE
    chunkkv::kernels chunkkv::base OpenSSL::Crypto ${CHUNKKV_XXHASH_LIBRARY})
  target_link_libraries(chunkkv::proto INTERFACE protobuf::libprotobuf gRPC::grpc++)
  target_link_libraries(chunkkv::client INTERFACE chunkkv::format chunkkv::kernels chunkkv::base chunkkv::proto)
endif()
