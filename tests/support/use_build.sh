# To be sourced: has tests take the programs and libraries of one build, build/$1.
#   . tests/support/use_build.sh PRESET
build=$PWD/build/$1
export CHUNKKV_SERVER=$build/service/chunkkv-server CHUNKKV_CLI=$build/client/cli/chunkkv
export CHUNKKV_HOST_DEVICE_SERVER=$build/tests/support/host_device_server
export CHUNKKV_HOST_NCCL=$build/tests/support/host_nccl/libnccl.so.2
export CHUNKKV_HOST_CUDA_DRIVER=$build/tests/support/host_cuda_driver/libcuda.so.1
export CHUNKKV_KERNELS_LIBRARY=$build/kernels/c/libchunkkv_kernels.so
export CHUNKKV_KERNEL_REPORT=$build/kernels/cuda/chunkkv_cuda.kernels.json
