#include "service/option_list.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <limits>

namespace chunkkv {
namespace {

constexpr int64_t kMaxScrubBytesPerSecond = int64_t{1} << 50;
constexpr int64_t kMaxMs = int64_t{365} * 24 * 3'600'000;

// Options that --help shows under one heading.
class Group {
 public:
  Group(CLI::App& app, std::string heading) : app_(app), heading_(std::move(heading)) {}

  template <typename Value>
  CLI::Option* Add(const std::string& name, Value& value, const std::string& text, const std::string& type = "") {
    CLI::Option* const option = app_.add_option("--" + name, value, text)->capture_default_str();
    if (!type.empty()) option->type_name(type);
    return Finish(option, name);
  }
  // "4GiB", "512 MB", "1048576": KB, MB, GB, TB are powers of 1000, KiB and so on of 1024.
  CLI::Option* AddSize(const std::string& name, uint64_t& size, const std::string& text) {
    return Add(name, size, text)->transform(CLI::AsSizeValue(/*kb_is_1000=*/true))->type_name("SIZE");
  }
  // `other_forms`: ",!--no-..." and the like.
  CLI::Option* AddFlag(const std::string& name, bool& flag, const std::string& text, const std::string& other_forms = "") {
    return Finish(app_.add_flag("--" + name + other_forms, flag, text)->default_str(flag ? "true" : "false"), name);
  }

 private:
  CLI::Option* Finish(CLI::Option* option, const std::string& name) {
    return option->group(heading_)->envname(VariableOf(name));
  }

  CLI::App& app_;
  const std::string heading_;
};

void AddNetwork(CLI::App& app, ServerOptions& server) {
  Group group(app, "Network and security");
  group.Add("listen", server.listen, "Address to listen on; port 0 takes a free one", "HOST:PORT");
  group.AddFlag("insecure-listen", server.insecure_listen,
                "Allow an address other than loopback without TLS or without certificates of clients");
  CLI::Option* const certificate =
      group.Add("tls-certificate", server.tls.certificate,
                "TLS: the server's certificate and its chain. The files are read again when they change", "PEM");
  CLI::Option* const key = group.Add("tls-key", server.tls.key, "The certificate's key", "PEM");
  certificate->needs(key);
  key->needs(certificate);
  group
      .Add("tls-client-ca", server.tls.client_ca,
           "Authorities of whose certificates every client must have one; empty: clients need none", "PEM")
      ->needs(certificate);
  CLI::Option* const tenants =
      group.Add("tenants", server.tenants_file,
                "Tenants: bearer tokens (hashed), names of certificates, share groups, quotas; read again when it\n"
                "changes. Empty: one tenant, and no credentials are asked for",
                "JSON");
  group.Add("audience", server.audience, "What this deployment is called in tokens that are for one alone", "NAME")
      ->needs(tenants);
  group.AddFlag("reflection", server.reflection, "Serve gRPC reflection (on by default)", ",!--no-reflection");
}

void AddMemory(CLI::App& app, OptionValues& values) {
  ServerOptions& server = values.server;
  Group group(app, "Memory");
  group.AddSize("host-memory", values.host_memory, "Budget of the host tier: entries and puts in flight");
  group.AddSize("device-memory", values.device_memory,
                "Budget of the device tier: entries in the GPU's memory; 0: none");
  group.AddSize("max-entry-bytes", values.max_entry_bytes, "Largest entry; 0: the host tier's budget");
  group.AddSize("scrub-bytes-per-second", values.scrub_bytes_per_second,
                "Stored bytes verified in the background; 0: none");
  group.Add("profiles", server.profiles_folder, "Reuse profiles, made by `chunkkv tune`, that puts may name", "FOLDER");
}

void AddProcessors(CLI::App& app, ServerOptions& server) {
  Group group(app, "Processors");
  group.Add("threads", server.thread_count, "Threads for compaction, and for requests; 0: one a core")
      ->check(CLI::Range(0, 1024));
  group.Add("device", server.device,
            "Where puts are compacted: cpu, cuda or cuda:N, or auto: the first GPU where there is one");
  group
      .Add("device-sm-limit", server.device_sm_limit,
           "Multiprocessors of the GPU that the server's kernels may take, for an engine that shares it; 0: all")
      ->check(CLI::Range(0, 65'535));
}

void AddTransfers(CLI::App& app, ServerOptions& server) {
  Group group(app, "Payloads beside gRPC");
  group.Add("local-socket", server.local_socket.path,
            "Unix socket for clients on this host that lend memory for puts and gets; empty: none", "PATH");
  group
      .Add("local-user", server.local_socket.users,
           "A user whose processes may use the local socket, beside the server's own and root; repeatable", "UID")
      ->delimiter(',');
  group.AddFlag("map-entries", server.map_entries,
                "Keep entries in memory that clients on the local socket may map instead of copying");
  group.AddFlag("device-regions", server.device_regions,
                "Let clients on the local socket lend memory of the GPU too, whose bytes are gathered there");
  group.AddFlag("nccl", server.channels.enabled,
                "Let clients put and get over NCCL, from GPU to GPU. It authenticates nobody and encrypts nothing: for\n"
                "networks in which every machine is trusted");
  group.Add("nccl-library", server.channels.library_path, "NCCL, of the version that clients have", "PATH");
  group
      .Add("max-channels", server.channels.limits.max_channels,
           "NCCL channels at once; each holds memory of the GPU that no budget counts")
      ->check(CLI::Range(1, 4096));
  group
      .Add("max-channels-of-tenant", server.channels.limits.max_channels_of_tenant,
           "NCCL channels of one tenant at once")
      ->check(CLI::Range(1, 4096));
}

void AddLimits(CLI::App& app, ServerOptions& server) {
  Group group(app, "Limits");
  group.Add("idle-timeout-ms", server.rpc.idle_timeout_ms, "Puts and gets whose client does nothing end then")
      ->check(CLI::Range(int64_t{1}, kMaxMs));
  group.Add("max-rpc-ms", server.rpc.max_rpc_ms, "Every RPC ends by then")->check(CLI::Range(int64_t{1}, kMaxMs));
  group.Add("max-connections", server.rpc.max_connections, "Connections at once; each takes up to 64 KiB or so")
      ->check(CLI::Range(1, 1 << 20));
  group.Add("max-streams", server.rpc.max_streams, "Puts, gets and watchers at once")->check(CLI::Range(1, 1 << 20));
}

void AddOperation(CLI::App& app, OptionValues& values) {
  Group group(app, "Operation");
  group.Add("grace-ms", values.server.grace_ms, "How long what is in flight may take after SIGTERM")
      ->check(CLI::Range(int64_t{0}, kMaxMs));
  group.Add("admin-listen", values.server.admin_listen,
            "Address of the admin port: plain HTTP with /metrics, /healthz, /readyz and /statusz; empty: none",
            "HOST:PORT");
  group.Add("trace-endpoint", values.server.trace_endpoint,
            "OpenTelemetry collector (OTLP over HTTP) for spans of calls whose caller samples them; empty: none",
            "http://HOST:PORT");
  group.Add("log-level", values.log_level, "debug (a line a call), info, warning or error", "LEVEL")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
  group.Add("port-file", values.port_file, "File to write the bound port to, once serving", "PATH");
  group.Add("admin-port-file", values.admin_port_file, "The same of the admin port", "PATH");
}

int64_t Capped(uint64_t size) {
  return static_cast<int64_t>(std::min(size, static_cast<uint64_t>(std::numeric_limits<int64_t>::max())));
}

}  // namespace

void AddOptions(CLI::App& app, OptionValues& values) {
  AddNetwork(app, values.server);
  AddMemory(app, values);
  AddProcessors(app, values.server);
  AddTransfers(app, values.server);
  AddLimits(app, values.server);
  AddOperation(app, values);
}

ServerOptions ToServerOptions(const OptionValues& values) {
  ServerOptions server = values.server;
  server.store.host_budget_bytes = Capped(values.host_memory);
  server.device_memory_bytes = Capped(values.device_memory);
  server.store.max_entry_bytes =
      values.max_entry_bytes == 0 ? server.store.host_budget_bytes : Capped(values.max_entry_bytes);
  server.scrub_bytes_per_second = std::min(Capped(values.scrub_bytes_per_second), kMaxScrubBytesPerSecond);
  return server;
}

LogLevel ToLogLevel(const std::string& name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "warning") return LogLevel::kWarning;
  return name == "error" ? LogLevel::kError : LogLevel::kInfo;
}

std::string VariableOf(const std::string& option) {
  std::string name = "CHUNKKV_";
  for (const char c : option) name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

}  // namespace chunkkv
