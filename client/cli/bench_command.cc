#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "client/cli/command.h"
#include "client/cli/connection_options.h"
#include "client/cli/loopback_tcp.h"
#include "client/cli/output.h"
#include "client/cli/progress.h"
#include "client/cli/server_process.h"
#include "service/base/status_macros.h"

namespace chunkkv::cli {
namespace {

constexpr int32_t kLayers = 32;
constexpr int32_t kKvHeads = 8;
constexpr int32_t kHeadSize = 128;
constexpr int64_t kRowBytes = kKvHeads * kHeadSize * 2;  // bf16
constexpr int64_t kTokenBytes = 2 * kLayers * kRowBytes;
constexpr double kSteadySpread = 0.10;

struct BenchOptions {
  std::string address;
  int64_t mib = 256;
  int32_t runs = 7;
  int32_t channels = 1;
};

// Seconds of each run of one thing.
struct Series {
  std::string name;
  std::vector<double> seconds;
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// Half the distance between the quartiles, of the median.
double Spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const double low = values[values.size() / 4];
  const double high = values[values.size() - 1 - values.size() / 4];
  return (high - low) / 2 / Median(values);
}

double Seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

class Bench {
 public:
  Bench(client::Client& client, const BenchOptions& options)
      : client_(client),
        runs_(options.runs),
        token_count_(std::max<int64_t>(1, (options.mib << 20) / kTokenBytes)),
        source_(static_cast<size_t>(token_count_ * kTokenBytes)),
        destination_(source_.size()) {
    std::mt19937_64 random(20250);
    for (size_t at = 0; at + 8 <= source_.size(); at += 8) {
      const uint64_t value = random();
      std::memcpy(source_.data() + at, &value, sizeof value);
    }
    std::memset(destination_.data(), 1, destination_.size());
    AttentionRun run;
    run.query_head_count = run.kv_head_count = kKvHeads;
    run.key_head_size = run.value_head_size = kHeadSize;
    run.key_dtype = run.value_dtype = DType::kBF16;
    put_.layout = {{.first_layer = 0, .layer_count = kLayers, .attention = run, .named_tensors = {}}};
    put_.model.name = "chunkkv-bench";
    put_.model.revision = "1";
    put_.model.kv_dtype = "bf16";
    put_.model.layer_count = kLayers;
    put_.model.kv_head_count = kKvHeads;
    put_.model.key_head_size = put_.model.value_head_size = kHeadSize;
    put_.token_count = token_count_;
    put_.spec.policy = Policy::kFull;
    put_.channel_count = options.channels;
    for (int32_t layer = 0; layer < kLayers; ++layer) {
      client::LayerArrays arrays;
      arrays.keys = SourceOf(2 * layer);
      arrays.values = SourceOf(2 * layer + 1);
      layers_.push_back(arrays);
    }
  }

  absl::Status Run() {
    CHUNKKV_ASSIGN_OR_RETURN(LoopbackTcp tcp, LoopbackTcp::Open());
    Progress progress("measuring", runs_ + 1);
    for (int32_t run = 0; run <= runs_; ++run) {
      const bool is_warm_up = run == 0;
      CHUNKKV_ASSIGN_OR_RETURN(const double tcp_seconds, tcp.Transfer(source_, absl::MakeSpan(destination_)));
      const auto copy_start = std::chrono::steady_clock::now();
      std::memcpy(destination_.data(), source_.data(), source_.size());
      const double copy_seconds = Seconds(copy_start);
      CHUNKKV_ASSIGN_OR_RETURN(const double put_seconds, Put(run));
      CHUNKKV_ASSIGN_OR_RETURN(const double get_seconds, Get());
      CHUNKKV_RETURN_IF_ERROR(Delete());
      progress.Set(run + 1);
      if (is_warm_up) continue;
      copy_.seconds.push_back(copy_seconds);
      tcp_.seconds.push_back(tcp_seconds);
      put_series_.seconds.push_back(put_seconds);
      get_series_.seconds.push_back(get_seconds);
    }
    return absl::OkStatus();
  }

  nlohmann::json Report() const {
    nlohmann::json rows = nlohmann::json::array();
    for (const Series* series : {&copy_, &tcp_, &put_series_, &get_series_}) {
      std::vector<double> speeds, to_tcp, to_copy;
      for (size_t run = 0; run < series->seconds.size(); ++run) {
        speeds.push_back(static_cast<double>(source_.size()) / series->seconds[run] / 1e9);
        to_tcp.push_back(tcp_.seconds[run] / series->seconds[run]);
        to_copy.push_back(copy_.seconds[run] / series->seconds[run]);
      }
      rows.push_back({{"name", series->name},
                      {"gb_per_s", Median(speeds)},
                      {"gb_per_s_spread", Spread(speeds)},
                      {"of_tcp", Median(to_tcp)},
                      {"of_tcp_spread", Spread(to_tcp)},
                      {"of_memcpy", Median(to_copy)},
                      {"is_steady", Spread(to_tcp) <= kSteadySpread}});
    }
    return {{"entry_bytes", source_.size()}, {"token_count", token_count_}, {"runs", runs_}, {"results", rows}};
  }

 private:
  absl::Span<std::byte> PlaceOf(std::vector<std::byte>& memory, int32_t tensor) const {
    const size_t size = static_cast<size_t>(token_count_ * kRowBytes);
    return absl::MakeSpan(memory).subspan(tensor * size, size);
  }
  absl::Span<const std::byte> SourceOf(int32_t tensor) { return PlaceOf(source_, tensor); }

  absl::StatusOr<double> Put(int32_t run) {
    put_.prompt.key = Bytes32{static_cast<uint8_t>(run), 0xBE};
    const auto start = std::chrono::steady_clock::now();
    CHUNKKV_ASSIGN_OR_RETURN(const client::PutResult result, client_.Put(put_, layers_));
    const double seconds = Seconds(start);
    if (result.already_stored) {
      return FailedPrecondition("ALREADY_STORED", "the server holds an entry of an earlier bench; delete it first");
    }
    entry_id_ = result.entry_id;
    return seconds;
  }

  absl::StatusOr<double> Get() {
    client::GetRequest request;
    request.model = put_.model;
    request.prompt = put_.prompt;
    request.channel_count = put_.channel_count;
    request.placement = [this](const TensorSpec& tensor, int64_t, int64_t) {
      return PlaceOf(destination_, 2 * tensor.layer + (tensor.kind == TensorKind::kValues ? 1 : 0)).data();
    };
    const auto start = std::chrono::steady_clock::now();
    CHUNKKV_RETURN_IF_ERROR(client_.Get(request).status());
    const double seconds = Seconds(start);
    if (destination_ != source_) {
      return ErrorStatus(absl::StatusCode::kDataLoss, "BYTES_DIFFER", "the entry is not what was put");
    }
    return seconds;
  }

  absl::Status Delete() {
    const client::EntrySelector selector(entry_id_);
    CHUNKKV_ASSIGN_OR_RETURN(const std::vector<absl::Status> results, client_.Delete({&selector, 1}));
    return results[0];
  }

  client::Client& client_;
  const int32_t runs_;
  const int64_t token_count_;
  std::vector<std::byte> source_;
  std::vector<std::byte> destination_;
  client::PutRequest put_;
  std::vector<client::LayerArrays> layers_;
  Bytes16 entry_id_{};
  Series copy_{"memcpy", {}};
  Series tcp_{"raw TCP", {}};
  Series put_series_{"put", {}};
  Series get_series_{"get", {}};
};

absl::Status RunBench(const BenchOptions& options, bool json) {
  std::unique_ptr<ServerProcess> server;
  std::string address = options.address;
  if (address.empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(const std::string program, FindServerProgram());
    CHUNKKV_ASSIGN_OR_RETURN(server,
                             ServerProcess::Start(program, {"--host-memory", std::to_string((3 * options.mib) << 20)}));
    address = server->address();
  }
  CHUNKKV_ASSIGN_OR_RETURN(const std::unique_ptr<client::Client> client, client::Client::Connect(address));
  Bench bench(*client, options);
  CHUNKKV_RETURN_IF_ERROR(bench.Run());
  const nlohmann::json report = bench.Report();
  if (json) {
    PrintJson(report);
    return absl::OkStatus();
  }
  std::printf(
      "full entries of %s, %d runs, %d channel%s; medians, ± half the distance of the quartiles\n\n"
      "          GB/s            of raw TCP      of memcpy\n",
      BytesText(report["entry_bytes"].get<int64_t>()).c_str(), options.runs, options.channels,
      options.channels == 1 ? "" : "s");
  for (const nlohmann::json& row : report["results"]) {
    std::printf("%-8s  %5.2f ± %3.0f %%   %6.1f ± %3.0f %%  %6.1f %%%s\n", row["name"].get<std::string>().c_str(),
                row["gb_per_s"].get<double>(), row["gb_per_s_spread"].get<double>() * 100,
                row["of_tcp"].get<double>() * 100, row["of_tcp_spread"].get<double>() * 100,
                row["of_memcpy"].get<double>() * 100, row["is_steady"].get<bool>() ? "" : "  (unsteady: do not quote)");
  }
  return absl::OkStatus();
}

}  // namespace

void AddBenchCommand(CLI::App& app, Command& command) {
  CLI::App* bench = app.add_subcommand("bench", "Measure put and get against raw TCP and memcpy of the same run");
  auto options = std::make_shared<BenchOptions>();
  bench->add_option("--address", options->address, "server [one of its own on loopback]");
  bench->add_option("--mib", options->mib, "size of the entry")->check(CLI::Range(1, 65536))->capture_default_str();
  bench->add_option("--runs", options->runs, "measured runs, after one to warm up")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  bench->add_option("--channels", options->channels, "connections")->check(CLI::Range(1, 64))->capture_default_str();
  bench->add_flag("--json", command.json, "print JSON");
  bench->footer("Example:\n  chunkkv bench --mib 256 --runs 7");
  bench->callback(
      [options, &command] { command.run = [options, &command] { return RunBench(*options, command.json); }; });
}

}  // namespace chunkkv::cli
