// Streams of the host, on which libnccl.so.2 (host_nccl.cc) does its work: what that library offers beside NCCL's calls.
#ifndef CHUNKKV_TESTS_SUPPORT_HOST_NCCL_H_
#define CHUNKKV_TESTS_SUPPORT_HOST_NCCL_H_

#include <cstdint>

extern "C" {

// A stream is what NCCL's calls take as cudaStream_t.
using HostStreamMake = void* (*)();
// When nothing is under way on it any more.
using HostStreamEnd = void (*)(void* stream);
// Behind everything started so far.
using HostStreamMark = int64_t (*)(void* stream);
// 1 where everything before the mark is done.
using HostStreamHasPassed = int (*)(void* stream, int64_t mark);
}

#endif  // CHUNKKV_TESTS_SUPPORT_HOST_NCCL_H_
