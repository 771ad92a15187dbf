#ifndef CHUNKKV_TESTS_UNIT_TRANSFER_NCCL_FAKE_NCCL_LIBRARY_H_
#define CHUNKKV_TESTS_UNIT_TRANSFER_NCCL_FAKE_NCCL_LIBRARY_H_

#include <cstddef>

// What the fake library was called with last; fields that a function does not have are 0.
struct FakeNcclCall {
  const char* name;
  void* comm;
  const void* memory;
  size_t size_bytes;  // ncclCommInitRankConfig: the last byte of the unique id
  int type;           // ncclCommInitRankConfig: the count of ranks
  int rank;
  void* stream;
  int blocking;
  int config_is_initialized;
};

extern "C" {
FakeNcclCall FakeNcclLastCall();
void FakeNcclNextResult(int result);  // of the next call
void FakeNcclState(int result);       // what ncclCommGetAsyncError says
void FakeNcclVersion(int value);
}

#endif  // CHUNKKV_TESTS_UNIT_TRANSFER_NCCL_FAKE_NCCL_LIBRARY_H_
