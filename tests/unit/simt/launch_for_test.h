// Where the kernels of Simt* suites run: in the emulation, or, compiled by nvcc, on a GPU. Either way there are
//
//   LaunchForTest<Kernel>(params, blocks)   a whole launch; returns when it is done
//   DeviceArray<T>(values)                  memory that kernels read and write: data(), Values()
#ifndef CHUNKKV_TESTS_UNIT_SIMT_LAUNCH_FOR_TEST_H_
#define CHUNKKV_TESTS_UNIT_SIMT_LAUNCH_FOR_TEST_H_

#ifdef __CUDACC__
#include "tests/gpu/device_launch_for_test.h"
#else
#include "tests/unit/simt/emulated_launch_for_test.h"
#endif

#endif  // CHUNKKV_TESTS_UNIT_SIMT_LAUNCH_FOR_TEST_H_
