// The C++ client of the ChunkKV service.
//
//   auto client = chunkkv::client::Client::Connect("127.0.0.1:7421");
//   auto put = (*client)->Put(request, layers);
//   auto entry = (*client)->Get({.model = model, .prompt = {.tokens = tokens}, .accept = Accept::LeastLossy()});
//
// Whatever a get hands over has been verified: that it is the entry asked for, its part checksums, tensor digests, kept
// positions, and the entry's digest.
// Errors are an absl::Status whose reason (StatusReason of chunkkv/kernels/status.h) is the server's.
#ifndef CHUNKKV_CLIENT_CLIENT_H_
#define CHUNKKV_CLIENT_CLIENT_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chunkkv/client/put_session.h"
#include "chunkkv/client/region.h"
#include "chunkkv/client/types.h"

namespace chunkkv::client {

// In PEM.
struct TlsOptions {
  std::string root_certificates;  // of the server's authority; empty: those of the system
  std::string certificate_chain;  // the client's own; empty: none
  std::string private_key;        // of certificate_chain
};

struct ConnectOptions {
  std::chrono::milliseconds connect_timeout{5000};  // UNAVAILABLE when it passes; 0: connect at the first call
  std::optional<TlsOptions> tls;                 // unset: plain text
  std::string token;                             // a bearer token of the tenant; empty: none
  std::string share_group;                       // whose entries are meant; empty: the tenant's own
  // A server is lost, and calls to it end UNAVAILABLE, where a ping (one in 11 s, or in so long where that is more) is
  // not answered for so long.
  std::chrono::milliseconds lost_after{20'000};
};

// Thread-safe. Must outlive its put sessions.
class Client {
 public:
  // `address` as "host:port" or "unix:/path".
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const std::string& address,
                                                         const ConnectOptions& options = {});
  ~Client();

  // Puts whole arrays, one element a layer of the layout. Under SELECT_THEN_SEND only scores and kept rows travel.
  // kExternal takes `positions`, one list a group. Returns when nothing refers to the arrays any more.
  absl::StatusOr<PutResult> Put(const PutRequest& request, absl::Span<const LayerArrays> layers,
                                const CallOptions& options = {}, absl::Span<const std::vector<int32_t>> positions = {});
  // Begins a put that is fed piece by piece. `options` hold for the whole session.
  absl::StatusOr<std::unique_ptr<PutSession>> BeginPut(const PutRequest& request, const CallOptions& options = {});

  // Errors: NOT_FOUND, ABORTED (PUT_FAILED), OUT_OF_RANGE, FAILED_PRECONDITION, DATA_LOSS where what arrived is not
  // what was committed. A failed get hands over no entry; layers already given to on_layer were right.
  absl::StatusOr<CachedEntry> Get(const GetRequest& request, const CallOptions& options = {});

  // Memory shared with a server on this host (region.h). Errors: FAILED_PRECONDITION REGIONS_DISABLED, UNAVAILABLE
  // LOCAL_SOCKET, RESOURCE_EXHAUSTED (OUT_OF_MEMORY, TOO_MANY_REGIONS), INVALID_ARGUMENT BAD_REGION_SIZE.
  absl::StatusOr<std::unique_ptr<Region>> AllocateRegion(int64_t size_bytes);
  // Memory of a GPU of this host, lent to the server: the caller's, for as long as the region lives, and of cudaMalloc
  // or of cuMemCreate with POSIX descriptors (PyTorch's expandable segments). To be called where the current CUDA
  // context is that of the memory. Arrays in it that a put is given must be complete on the device: the server waits
  // for no stream of this process. Errors: UNIMPLEMENTED NO_CUDA_DRIVER, INVALID_ARGUMENT (BAD_REGION_SIZE,
  // NOT_DEVICE_MEMORY), FAILED_PRECONDITION (NOT_EXPORTABLE: of a pool, or managed; DEVICE_REGIONS_DISABLED,
  // NOT_IPC_MEMORY: the server's GPU cannot reach it), and as AllocateRegion.
  absl::StatusOr<std::unique_ptr<Region>> LendDeviceMemory(void* data, int64_t size_bytes);

  absl::StatusOr<std::vector<PrefixFound>> FindLongestPrefix(absl::Span<const PrefixQuery> queries,
                                                             const CallOptions& options = {});
  // Batches answer per item, in order.
  absl::StatusOr<std::vector<absl::StatusOr<EntryInfo>>> Describe(absl::Span<const EntrySelector> entries,
                                                                  bool with_positions, const CallOptions& options = {});
  absl::StatusOr<ListPage> List(int32_t page_size, const std::string& page_token,
                                const std::optional<Bytes32>& fingerprint = std::nullopt,
                                const CallOptions& options = {});
  absl::StatusOr<std::vector<absl::StatusOr<Pin>>> PinEntries(absl::Span<const EntrySelector> entries,
                                                              std::chrono::milliseconds duration,
                                                              const CallOptions& options = {});
  absl::StatusOr<std::vector<absl::Status>> Unpin(absl::Span<const Bytes16> pin_ids, const CallOptions& options = {});
  absl::StatusOr<std::vector<absl::Status>> Delete(absl::Span<const EntrySelector> entries,
                                                   const CallOptions& options = {});
  absl::StatusOr<TrimResult> Trim(const TrimRequest& request, const CallOptions& options = {});
  // Blocks, calling `on_event` for each event until it returns false (then OK), the call is cancelled or it fails.
  absl::Status Watch(int64_t after_sequence, const std::function<bool(const WatchEvent&)>& on_event,
                     const CallOptions& options = {});
  // Token scores of the next puts of one model whose every attention layer is scored. Blocks until `put_count` puts
  // have come (OK) or the call fails or is cancelled. `on_recording`, if set, is called once puts are recorded;
  // `on_skipped`, if set, when more were left out. Errors: INVALID_ARGUMENT (BAD_PUT_COUNT, MODEL_MISSING), DATA_LOSS
  // (BAD_REPLY).
  absl::Status RecordScores(const RecordRequest& request, const std::function<void(RecordedScores)>& on_put,
                            const std::function<void()>& on_recording = nullptr,
                            const std::function<void(const SkippedPuts&)>& on_skipped = nullptr,
                            const CallOptions& options = {});
  absl::StatusOr<Capabilities> GetCapabilities(const CallOptions& options = {});
  absl::StatusOr<ServerStats> GetStats(const CallOptions& options = {});

  class Impl;

 private:
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CLIENT_H_
