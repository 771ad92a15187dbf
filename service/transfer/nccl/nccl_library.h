// The calls of NCCL that channels make, as an interface: the library that the machine has, loaded at run time, or a
// fake of tests.
#ifndef CHUNKKV_SERVICE_TRANSFER_NCCL_NCCL_LIBRARY_H_
#define CHUNKKV_SERVICE_TRANSFER_NCCL_NCCL_LIBRARY_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/format/bytes.h"

namespace chunkkv {

// Where two ranks meet: names an address that NCCL connects to, so one from a client is never used.
using NcclUniqueId = FixedBytes<128>;

// What begins an operation of a communicator returns at once; Poll tells how it goes. Until that is kDone nothing may
// be asked of the communicator but Poll and Abort. All calls about one device's communicators come from one thread,
// whose current CUDA device it is. Errors of all: UNAVAILABLE PEER_LOST (ncclRemoteError, ncclSystemError: the other
// side or the way to it is gone), INTERNAL NCCL_ERROR. After an error a communicator is good for Abort only.
class NcclLibrary {
 public:
  using Comm = void*;
  enum class Progress { kInProgress, kDone };

  virtual ~NcclLibrary() = default;

  // As ncclGetVersion: 22707 is 2.27.7. Thread-safe.
  virtual int version() const = 0;

  // Thread-safe. NCCL keeps a thread and a listening socket of this process until every rank has come. Errors: INTERNAL
  // NCCL_ERROR.
  virtual absl::StatusOr<NcclUniqueId> MakeUniqueId() = 0;

  // Begins a communicator, which ends with Destroy or Abort, whatever becomes of it. None where it fails.
  virtual absl::StatusOr<Comm> Begin(const NcclUniqueId& id, int rank, int rank_count) = 0;
  virtual absl::StatusOr<Progress> Poll(Comm comm) = 0;

  // Start on `stream`; memory is the device's. Complete when the stream is, not when Poll says kDone: then they are on
  // the stream.
  virtual absl::Status Send(Comm comm, int peer, const void* memory, size_t size_bytes, void* stream) = 0;
  virtual absl::Status Receive(Comm comm, int peer, void* memory, size_t size_bytes, void* stream) = 0;

  // Begins an orderly end: no operation may be under way.
  virtual absl::Status Finalize(Comm comm) = 0;
  // After Finalize is kDone.
  virtual absl::Status Destroy(Comm comm) = 0;
  // At any time. Blocks until NCCL's threads for it are joined; operations on the stream end soon, in part done.
  virtual absl::Status Abort(Comm comm) = 0;
};

// The oldest with communicators that do not block: 2.14.
constexpr int kOldestNcclVersion = 21400;

// Loads `path`, by default what the system's linker finds as libnccl.so.2. The library stays loaded for ever: threads
// of its own may be in it. Errors: UNAVAILABLE (NCCL_NOT_FOUND, with the linker's text; NCCL_TOO_OLD), UNIMPLEMENTED
// NCCL_NOT_BUILT (in a build that had no nccl.h).
absl::StatusOr<std::unique_ptr<NcclLibrary>> LoadNccl(const std::string& path = "libnccl.so.2");

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_NCCL_NCCL_LIBRARY_H_
