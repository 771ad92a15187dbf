#include <dlfcn.h>

#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/transfer/nccl/nccl_calls.h"
#include "service/transfer/nccl/nccl_library.h"

namespace chunkkv {
namespace {

static_assert(sizeof(ncclUniqueId) == sizeof(NcclUniqueId));

class LoadedNccl final : public NcclLibrary {
 public:
  LoadedNccl(const NcclCalls& calls, int version) : calls_(calls), version_(version) {}

  int version() const override { return version_; }

  absl::StatusOr<NcclUniqueId> MakeUniqueId() override {
    ncclUniqueId made;
    const ncclResult_t result = calls_.get_unique_id(&made);
    if (result != ncclSuccess) return NcclError(TextOf("ncclGetUniqueId", result));
    NcclUniqueId id;
    std::memcpy(id.data(), &made, id.size());
    return id;
  }

  absl::StatusOr<Comm> Begin(const NcclUniqueId& id, int rank, int rank_count) override {
    ncclUniqueId given;
    std::memcpy(&given, id.data(), id.size());
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ncclComm_t comm = nullptr;
    const ncclResult_t result = calls_.comm_init_rank_config(&comm, rank_count, given, rank, &config);
    absl::Status status = StatusOf("ncclCommInitRankConfig", result);
    if (status.ok()) return comm;
    if (comm != nullptr) calls_.comm_abort(comm);
    return status;
  }

  absl::StatusOr<Progress> Poll(Comm comm) override {
    ncclResult_t state = ncclSuccess;
    CHUNKKV_RETURN_IF_ERROR(
        StatusOf("ncclCommGetAsyncError", calls_.comm_get_async_error(static_cast<ncclComm_t>(comm), &state)));
    CHUNKKV_RETURN_IF_ERROR(StatusOf("the communicator", state));
    return state == ncclInProgress ? Progress::kInProgress : Progress::kDone;
  }

  absl::Status Send(Comm comm, int peer, const void* memory, size_t size_bytes, void* stream) override {
    return StatusOf("ncclSend", calls_.send(memory, size_bytes, ncclUint8, peer, static_cast<ncclComm_t>(comm),
                                            static_cast<cudaStream_t>(stream)));
  }

  absl::Status Receive(Comm comm, int peer, void* memory, size_t size_bytes, void* stream) override {
    return StatusOf("ncclRecv", calls_.receive(memory, size_bytes, ncclUint8, peer, static_cast<ncclComm_t>(comm),
                                               static_cast<cudaStream_t>(stream)));
  }

  absl::Status Finalize(Comm comm) override {
    return StatusOf("ncclCommFinalize", calls_.comm_finalize(static_cast<ncclComm_t>(comm)));
  }
  absl::Status Destroy(Comm comm) override {
    return StatusOf("ncclCommDestroy", calls_.comm_destroy(static_cast<ncclComm_t>(comm)));
  }
  absl::Status Abort(Comm comm) override {
    return StatusOf("ncclCommAbort", calls_.comm_abort(static_cast<ncclComm_t>(comm)));
  }

 private:
  absl::Status StatusOf(const char* what, ncclResult_t result) const {
    if (result == ncclSuccess || result == ncclInProgress) return absl::OkStatus();
    const bool peer_is_lost = result == ncclRemoteError || result == ncclSystemError;
    return peer_is_lost ? ErrorStatus(absl::StatusCode::kUnavailable, "PEER_LOST", TextOf(what, result))
                        : NcclError(TextOf(what, result));
  }

  std::string TextOf(const char* what, ncclResult_t result) const {
    std::string text = absl::StrCat(what, ": ", calls_.get_error_string(result));
    const char* const last = calls_.get_last_error(nullptr);
    if (last != nullptr && *last != '\0') absl::StrAppend(&text, ": ", last);
    return text;
  }

  static absl::Status NcclError(const std::string& text) {
    return ErrorStatus(absl::StatusCode::kInternal, "NCCL_ERROR", text);
  }

  const NcclCalls calls_;
  const int version_;
};

absl::Status NotFound() {
  const char* const text = dlerror();
  return ErrorStatus(absl::StatusCode::kUnavailable, "NCCL_NOT_FOUND",
                     absl::StrCat("nccl: ", text == nullptr ? "not found" : text));
}

template <typename Function>
absl::Status Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function == nullptr ? NotFound() : absl::OkStatus();
}

absl::StatusOr<NcclCalls> FindCalls(void* library) {
  NcclCalls calls;
  CHUNKKV_RETURN_IF_ERROR(Find(library, "ncclGetVersion", calls.get_version));
  CHUNKKV_RETURN_IF_ERROR(Find(library, "ncclGetErrorString", calls.get_error_string));
  CHUNKKV_RETURN_IF_ERROR(Find(library, "ncclGetLastError", calls.get_last_error));
  CHUNKKV_RETURN_IF_ERROR(Find(library, "ncclGetUniqueId", calls.get_unique_id));
  CHUNKKV_RETURN_IF_ERROR(Find(library, "ncclCommInitRankConfig", calls.comm_init_rank_config));
  CHUNKKV_RETURN_IF_ERROR(Find(library, "ncclCommGetAsyncError", calls.comm_get_async_error));
  CHUNKKV_RETURN_IF_ERROR(Find(library, "ncclCommFinalize", calls.comm_finalize));
  CHUNKKV_RETURN_IF_ERROR(Find(library, "ncclCommDestroy", calls.comm_destroy));
  CHUNKKV_RETURN_IF_ERROR(Find(library, "ncclCommAbort", calls.comm_abort));
  CHUNKKV_RETURN_IF_ERROR(Find(library, "ncclSend", calls.send));
  CHUNKKV_RETURN_IF_ERROR(Find(library, "ncclRecv", calls.receive));
  return calls;
}

absl::Status TooOld(const std::string& what) {
  return ErrorStatus(absl::StatusCode::kUnavailable, "NCCL_TOO_OLD",
                     absl::StrCat("nccl: ", what, ", and the oldest that will do is ", kOldestNcclVersion));
}

}  // namespace

absl::StatusOr<std::unique_ptr<NcclLibrary>> LoadNccl(const std::string& path) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return NotFound();
  // First, since an old one lacks some of the others.
  decltype(NcclCalls::get_version) get_version = nullptr;
  CHUNKKV_RETURN_IF_ERROR(Find(library, "ncclGetVersion", get_version));
  int version = 0;
  if (get_version(&version) != ncclSuccess) return TooOld("its version is not known");
  if (version < kOldestNcclVersion) return TooOld(absl::StrCat("its version is ", version));
  CHUNKKV_ASSIGN_OR_RETURN(const NcclCalls calls, FindCalls(library));
  return std::make_unique<LoadedNccl>(calls, version);
}

}  // namespace chunkkv
