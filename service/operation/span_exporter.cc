#include "service/operation/span_exporter.h"

#include <httplib.h>

#include <chrono>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "chunkkv/kernels/status.h"
#include "nlohmann/json.hpp"
#include "service/base/random.h"
#include "service/format/bytes.h"

namespace chunkkv {
namespace {

using nlohmann::json;

constexpr size_t kMaxQueued = 4096;
constexpr size_t kBatch = 512;
constexpr std::chrono::seconds kPeriod(1);
constexpr time_t kPatienceSeconds = 2;
constexpr int kServerKind = 2;
constexpr int kErrorStatus = 2;

std::string NewSpanId() {
  FixedBytes<8> id;
  FillRandom(id.data(), id.size());
  return ToHex(id);
}

json Text(const char* key, const std::string& value) { return {{"key", key}, {"value", {{"stringValue", value}}}}; }
// OTLP's JSON has 64-bit numbers as strings.
json Number(const char* key, int64_t value) {
  return {{"key", key}, {"value", {{"intValue", std::to_string(value)}}}};
}

json ToJson(const Span& span) {
  json attributes = {Text("rpc.system", "grpc"), Text("rpc.service", "chunkkv.v1.KvCacheService"),
                     Text("rpc.method", span.rpc), Number("rpc.grpc.status_code", span.grpc_code),
                     Number("chunkkv.bytes", span.bytes)};
  if (!span.reason.empty()) attributes.push_back(Text("chunkkv.reason", span.reason));
  json object = {{"traceId", span.parent.trace_id},
                 {"spanId", NewSpanId()},
                 {"parentSpanId", span.parent.parent_id},
                 {"name", "chunkkv.v1.KvCacheService/" + span.rpc},
                 {"kind", kServerKind},
                 {"startTimeUnixNano", std::to_string(span.begun_unix_ns)},
                 {"endTimeUnixNano", std::to_string(span.ended_unix_ns)},
                 {"attributes", std::move(attributes)}};
  if (span.grpc_code != 0) object["status"] = {{"code", kErrorStatus}};
  return object;
}

}  // namespace

std::string SpansJson(const std::vector<Span>& spans) {
  json list = json::array();
  for (const Span& span : spans) list.push_back(ToJson(span));
  const json scope = {{"scope", {{"name", "chunkkv"}}}, {"spans", std::move(list)}};
  const json resource = {{"resource", {{"attributes", {Text("service.name", "chunkkv")}}}}, {"scopeSpans", {scope}}};
  return json{{"resourceSpans", {resource}}}.dump();
}

absl::StatusOr<std::unique_ptr<SpanExporter>> SpanExporter::Start(const std::string& endpoint) {
  if (!absl::StartsWith(endpoint, "http://") || !httplib::Client(endpoint).is_valid()) {
    return InvalidArgument("BAD_TRACE_ENDPOINT", "trace endpoint: '" + endpoint + "' is not http://host:port");
  }
  std::unique_ptr<SpanExporter> exporter(new SpanExporter(endpoint));
  exporter->thread_ = std::thread([raw = exporter.get()] { raw->Run(); });
  return exporter;
}

SpanExporter::SpanExporter(std::string endpoint) : endpoint_(std::move(endpoint)) {}

SpanExporter::~SpanExporter() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    wake_.NotifyAll();
  }
  thread_.join();
}

void SpanExporter::Add(Span span) {
  MutexLock lock(mutex_);
  if (queue_.size() == kMaxQueued) {
    queue_.pop_front();
    ++dropped_;
  }
  queue_.push_back(std::move(span));
}

int64_t SpanExporter::dropped() const {
  MutexLock lock(mutex_);
  return dropped_;
}

void SpanExporter::Run() {
  while (true) {
    std::vector<Span> batch;
    bool is_last;
    {
      MutexLock lock(mutex_);
      if (!stopped_ && queue_.size() < kBatch) wake_.WaitFor(mutex_, kPeriod);
      const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(std::min(queue_.size(), kBatch));
      batch.assign(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
      queue_.erase(queue_.begin(), end);
      is_last = stopped_;
    }
    if (!batch.empty()) Send(std::move(batch));
    if (is_last) return;
  }
}

void SpanExporter::Send(std::vector<Span> spans) {
  httplib::Client client(endpoint_);
  client.set_connection_timeout(kPatienceSeconds);
  client.set_read_timeout(kPatienceSeconds);
  client.set_write_timeout(kPatienceSeconds);
  const httplib::Result result = client.Post("/v1/traces", SpansJson(spans), "application/json");
  if (result && result->status / 100 == 2) return;
  MutexLock lock(mutex_);
  dropped_ += static_cast<int64_t>(spans.size());
}

}  // namespace chunkkv
