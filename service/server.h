// A ChunkKV server: the store, its executors and timers, and the gRPC endpoint.
#ifndef CHUNKKV_SERVICE_SERVER_H_
#define CHUNKKV_SERVICE_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/device_memory.h"
#include "service/base/clock.h"
#include "service/rpc/rpc_limits.h"
#include "service/security/certificate_file.h"
#include "service/session/put_session.h"
#include "service/store/entry_store.h"
#include "service/transfer/nccl/channel_host.h"
#include "service/transfer/region/local_socket.h"

namespace chunkkv {

struct ServerOptions {
  std::string listen = "127.0.0.1:7421";  // host:port; port 0: any free one
  bool insecure_listen = false;           // allows other addresses than loopback without certificates of clients
  TlsFiles tls;
  std::string tenants_file;  // see ParseTenants; empty: one tenant, without credentials
  std::string audience;      // what this deployment is called in tokens
  std::string admin_listen;  // host:port of the admin port; empty: none
  std::string trace_endpoint;  // http://host:port of an OpenTelemetry collector; empty: none
  bool reflection = true;
  int32_t thread_count = 0;         // of each executor; 0: the machine's cores
  std::string device = "auto";      // where puts are compacted: auto, cpu, cuda or cuda:N
  int32_t device_sm_limit = 0;      // multiprocessors that compaction and regions may take there; 0: all
  int64_t device_memory_bytes = 0;  // budget of the device tier; 0: none
  bool device_regions = false;      // clients on the local socket may lend memory of the GPU
  // Stands in for the device's memory, for the tier and for regions each: of the host. Empty: the GPU that `device` is.
  std::function<absl::StatusOr<std::unique_ptr<DeviceMemory>>()> open_device_memory;
  int64_t grace_ms = 10'000;
  std::string profiles_folder;                         // measured reuse profiles, *.json; empty: none
  int64_t scrub_bytes_per_second = int64_t{16} << 20;  // 0: none
  LocalSocketOptions local_socket;                     // an empty path: neither regions nor mappings
  bool map_entries = false;                            // entries in memory that clients on this host may map
  ChannelOptions channels;                             // the server starts without them where it cannot have them
  // Stands in for NCCL and the GPU; empty: those of the machine.
  std::function<absl::StatusOr<ChannelGround>()> open_channels;
  StoreOptions store;
  SessionLimits session;
  rpc::RpcLimits rpc;
};

class Server {
 public:
  // The health service's name for the device tier: serving until the device fails. Unknown where there is no such tier.
  static constexpr char kDeviceTierHealth[] = "chunkkv.device_tier";

  // Listens and serves when it returns. `clock` must outlive the server.
  // Errors: INVALID_ARGUMENT (BAD_LISTEN_ADDRESS, INSECURE_LISTEN, BAD_LOCAL_SOCKET), UNAVAILABLE (CANNOT_LISTEN), and
  // those of CheckTlsFiles, AdminServer::Listen, SpanExporter::Start, TenantFile::Load, ProfileTable::Load, OpenCompactionDevice and OpenDeviceMemory.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options, const Clock& clock);
  // As Shutdown.
  ~Server();

  int port() const;
  // Where it listens, as host:port.
  const std::string& address() const;
  EntryStore& store();
  // Of the admin port; 0 where there is none.
  int admin_port() const;
  // Puts in progress.
  int64_t session_count() const;
  // Regions, offers of them, and mapped entries of clients on this host.
  int64_t local_holdings() const;
  // NCCL channels of which anything is left.
  int64_t channel_count() const;
  // Parts that are on their way over them.
  int64_t channel_messages() const;
  // Puts, gets and watchers in progress.
  int64_t stream_count() const;

  // Not serving for health checks; new puts and gets are refused (UNAVAILABLE, DRAINING); what is in flight may finish
  // within the grace, and is cancelled then. Returns when everything has ended.
  void Shutdown();

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SERVER_H_
