#include "service/options.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <limits>
#include <string>
#include <utility>

#include "service/rpc/version.h"

namespace chunkkv {
namespace {

constexpr int64_t kMaxMs = int64_t{365} * 24 * 3'600'000;

// "4GiB", "512 MB", "1048576": KB, MB, GB, TB are powers of 1000, KiB and so on of 1024.
CLI::Option* AddSize(CLI::App& app, const std::string& flag, uint64_t* size, const std::string& text,
                     const std::string& variable) {
  return app.add_option(flag, *size, text)
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true))
      ->type_name("SIZE")
      ->capture_default_str()
      ->envname(variable);
}

// The first option that lacks what it needs, in a line; empty: none does.
std::string MissingNeed(const ServerOptions& server) {
  using Asked = std::pair<bool, const char*>;
  for (const auto& [is_asked, option] :
       {Asked(server.map_entries, "--map-entries"), Asked(server.device_regions, "--device-regions")}) {
    if (is_asked && server.local_socket.path.empty()) return std::string(option) + " needs --local-socket";
  }
  for (const auto& [is_asked, option] :
       {Asked(server.device_regions, "--device-regions"), Asked(server.channels.enabled, "--nccl"),
        Asked(server.device_memory_bytes > 0, "--device-memory")}) {
    if (is_asked && server.device == "cpu") return std::string(option) + " needs a GPU, and --device is cpu";
  }
  return "";
}

}  // namespace

std::optional<CommandLine> ParseCommandLine(int argc, char** argv, int* exit_code) {
  CommandLine line;
  ServerOptions& server = line.server;
  CLI::App app("Serves compacted KV caches over gRPC (chunkkv.v1.KvCacheService).", "chunkkv-server");
  app.set_version_flag("--version", std::string("chunkkv-server ") + rpc::kServerVersion);
  app.footer(
      "Example: chunkkv-server --listen 127.0.0.1:7421 --host-memory 8GiB\n"
      "Every option can also be set by its CHUNKKV_* variable; flags win.");
  uint64_t host_memory = uint64_t{4} << 30;
  uint64_t device_memory = 0;
  uint64_t max_entry_bytes = 0;
  uint64_t scrub_bytes = server.scrub_bytes_per_second;
  app.add_option("--listen", server.listen, "Address to listen on; port 0 takes a free one")
      ->type_name("HOST:PORT")
      ->capture_default_str()
      ->envname("CHUNKKV_LISTEN");
  app.add_flag("--insecure-listen", server.insecure_listen, "Allow an address other than loopback, without TLS")
      ->envname("CHUNKKV_INSECURE_LISTEN");
  AddSize(app, "--host-memory", &host_memory, "Budget of the host tier: entries and puts in flight",
          "CHUNKKV_HOST_MEMORY");
  AddSize(app, "--max-entry-bytes", &max_entry_bytes, "Largest entry; 0: the host tier's budget",
          "CHUNKKV_MAX_ENTRY_BYTES");
  app.add_option("--local-socket", server.local_socket.path,
                 "Unix socket for clients on this host that lend memory for puts and gets; empty: none")
      ->type_name("PATH")
      ->envname("CHUNKKV_LOCAL_SOCKET");
  app.add_option("--local-user", server.local_socket.users,
                 "A user whose processes may use the local socket, beside the server's own and root; repeatable")
      ->type_name("UID")
      ->delimiter(',')
      ->envname("CHUNKKV_LOCAL_USER");
  app.add_flag("--map-entries", server.map_entries,
               "Keep entries in memory that clients on the local socket may map instead of copying")
      ->envname("CHUNKKV_MAP_ENTRIES");
  app.add_flag("--device-regions", server.device_regions,
               "Let clients on the local socket lend memory of the GPU too, whose bytes are gathered there")
      ->envname("CHUNKKV_DEVICE_REGIONS");
  app.add_flag("--nccl", server.channels.enabled,
               "Let clients put and get over NCCL, from GPU to GPU. It authenticates nobody and encrypts nothing: for\n"
               "networks in which every machine is trusted")
      ->envname("CHUNKKV_NCCL");
  app.add_option("--nccl-library", server.channels.library_path, "NCCL, of the version that clients have")
      ->type_name("PATH")
      ->capture_default_str()
      ->envname("CHUNKKV_NCCL_LIBRARY");
  app.add_option("--max-channels", server.channels.limits.max_channels,
                 "NCCL channels at once; each holds memory of the GPU that no budget counts")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str()
      ->envname("CHUNKKV_MAX_CHANNELS");
  app.add_option("--max-channels-of-tenant", server.channels.limits.max_channels_of_tenant,
                 "NCCL channels of one tenant at once")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str()
      ->envname("CHUNKKV_MAX_CHANNELS_OF_TENANT");
  app.add_option("--threads", server.thread_count, "Threads for compaction, and for requests; 0: one a core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str()
      ->envname("CHUNKKV_THREADS");
  app.add_option("--device", server.device,
                 "Where puts are compacted: cpu, cuda or cuda:N, or auto: the first GPU where there is one")
      ->capture_default_str()
      ->envname("CHUNKKV_DEVICE");
  app.add_option("--device-sm-limit", server.device_sm_limit,
                 "Multiprocessors of the GPU that the server's kernels may take, for an engine that shares it; 0: all")
      ->check(CLI::Range(0, 65'535))
      ->capture_default_str()
      ->envname("CHUNKKV_DEVICE_SM_LIMIT");
  AddSize(app, "--device-memory", &device_memory, "Budget of the device tier: entries in the GPU's memory; 0: none",
          "CHUNKKV_DEVICE_MEMORY");
  app.add_option("--profiles", server.profiles_folder,
                 "Folder of reuse profiles, made by `chunkkv tune`, that puts may name")
      ->type_name("FOLDER")
      ->envname("CHUNKKV_PROFILES");
  app.add_option("--idle-timeout-ms", server.rpc.idle_timeout_ms, "Puts and gets whose client does nothing end then")
      ->check(CLI::Range(int64_t{1}, kMaxMs))
      ->capture_default_str()
      ->envname("CHUNKKV_IDLE_TIMEOUT_MS");
  app.add_option("--max-rpc-ms", server.rpc.max_rpc_ms, "Every RPC ends by then")
      ->check(CLI::Range(int64_t{1}, kMaxMs))
      ->capture_default_str()
      ->envname("CHUNKKV_MAX_RPC_MS");
  app.add_option("--max-streams", server.rpc.max_streams, "Puts, gets and watchers at once")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str()
      ->envname("CHUNKKV_MAX_STREAMS");
  AddSize(app, "--scrub-bytes-per-second", &scrub_bytes, "Stored bytes verified in the background; 0: none",
          "CHUNKKV_SCRUB_BYTES_PER_SECOND");
  app.add_flag("--reflection,!--no-reflection", server.reflection, "Serve gRPC reflection (on by default)")
      ->envname("CHUNKKV_REFLECTION");
  app.add_option("--grace-ms", server.grace_ms, "How long what is in flight may take after SIGTERM")
      ->check(CLI::Range(int64_t{0}, kMaxMs))
      ->capture_default_str()
      ->envname("CHUNKKV_GRACE_MS");
  app.add_option("--port-file", line.port_file, "File to write the bound port to, once serving")
      ->type_name("PATH")
      ->envname("CHUNKKV_PORT_FILE");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    *exit_code = app.exit(error) == 0 ? 0 : 2;
    return std::nullopt;
  }
  const auto cap = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  server.store.host_budget_bytes = static_cast<int64_t>(std::min(host_memory, cap));
  server.device_memory_bytes = static_cast<int64_t>(std::min(device_memory, cap));
  server.store.max_entry_bytes =
      max_entry_bytes == 0 ? server.store.host_budget_bytes : static_cast<int64_t>(std::min(max_entry_bytes, cap));
  server.scrub_bytes_per_second = static_cast<int64_t>(std::min(scrub_bytes, cap / 1000));
  if (const std::string missing = MissingNeed(server); !missing.empty()) {
    std::cerr << missing << '\n';
    *exit_code = 2;
    return std::nullopt;
  }
  return line;
}

}  // namespace chunkkv
