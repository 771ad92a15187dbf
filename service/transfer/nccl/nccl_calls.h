#ifndef CHUNKKV_SERVICE_TRANSFER_NCCL_NCCL_CALLS_H_
#define CHUNKKV_SERVICE_TRANSFER_NCCL_NCCL_CALLS_H_

#include <nccl.h>

namespace chunkkv {

// Addresses of NCCL's functions, with the types that its header gives them. Not of this table are ncclGroupStart and
// ncclGroupEnd: a channel has one operation at a time, which NCCL groups by itself.
struct NcclCalls {
  decltype(&ncclGetVersion) get_version = nullptr;
  decltype(&ncclGetErrorString) get_error_string = nullptr;
  decltype(&ncclGetLastError) get_last_error = nullptr;
  decltype(&ncclGetUniqueId) get_unique_id = nullptr;
  decltype(&ncclCommInitRankConfig) comm_init_rank_config = nullptr;
  decltype(&ncclCommGetAsyncError) comm_get_async_error = nullptr;
  decltype(&ncclCommFinalize) comm_finalize = nullptr;
  decltype(&ncclCommDestroy) comm_destroy = nullptr;
  decltype(&ncclCommAbort) comm_abort = nullptr;
  decltype(&ncclSend) send = nullptr;
  decltype(&ncclRecv) receive = nullptr;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_NCCL_NCCL_CALLS_H_
