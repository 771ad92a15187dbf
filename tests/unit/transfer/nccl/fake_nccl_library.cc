// A libnccl.so.2 with the functions that the server loads, which remembers what it was called with. Compiled against
// NCCL's own header, so that a signature that differs does not compile.
#include "tests/unit/transfer/nccl/fake_nccl_library.h"

#include <nccl.h>

#include <cstring>
#include <utility>

namespace {

FakeNcclCall last_call;
ncclResult_t next_result = ncclSuccess;
ncclResult_t state = ncclSuccess;
int version = 22707;

ncclResult_t Note(const char* name, ncclComm_t comm, const void* memory = nullptr, size_t size_bytes = 0, int type = 0,
                  int rank = 0, void* stream = nullptr) {
  last_call = {name, comm, memory, size_bytes, type, rank, stream, 0, 1};
  return std::exchange(next_result, ncclSuccess);
}

}  // namespace

extern "C" {

FakeNcclCall FakeNcclLastCall() { return last_call; }
void FakeNcclNextResult(int result) { next_result = static_cast<ncclResult_t>(result); }
void FakeNcclState(int result) { state = static_cast<ncclResult_t>(result); }
void FakeNcclVersion(int value) { version = value; }

ncclResult_t ncclGetVersion(int* value) {
  *value = version;
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclRemoteError ? "remote process exited" : "some error";
}
const char* ncclGetLastError(ncclComm_t) { return "the last words"; }
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::memset(id, 7, sizeof *id);
  return Note("ncclGetUniqueId", nullptr);
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int rank_count, ncclUniqueId id, int rank, ncclConfig_t* config) {
  const ncclResult_t result = Note("ncclCommInitRankConfig", nullptr, nullptr, id.internal[127], rank_count, rank);
  last_call.blocking = config->blocking;
  last_call.config_is_initialized = config->size == sizeof(ncclConfig_t) && config->version == NCCL_VERSION_CODE;
  *comm = result == ncclSuccess || result == ncclInProgress ? reinterpret_cast<ncclComm_t>(&last_call) : nullptr;
  return result;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t* result) {
  *result = state;
  return std::exchange(next_result, ncclSuccess);
}
ncclResult_t ncclCommFinalize(ncclComm_t comm) { return Note("ncclCommFinalize", comm); }
ncclResult_t ncclCommDestroy(ncclComm_t comm) { return Note("ncclCommDestroy", comm); }
ncclResult_t ncclCommAbort(ncclComm_t comm) { return Note("ncclCommAbort", comm); }
ncclResult_t ncclSend(const void* memory, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return Note("ncclSend", comm, memory, count, type, peer, stream);
}
ncclResult_t ncclRecv(void* memory, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  return Note("ncclRecv", comm, memory, count, type, peer, stream);
}

}  // extern "C"
