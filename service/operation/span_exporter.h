// Spans of calls, for a collector of OpenTelemetry (OTLP over HTTP, JSON).
#ifndef CHUNKKV_SERVICE_OPERATION_SPAN_EXPORTER_H_
#define CHUNKKV_SERVICE_OPERATION_SPAN_EXPORTER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "service/base/mutex.h"
#include "service/operation/trace_context.h"

namespace chunkkv {

struct Span {
  TraceContext parent;  // whose trace it is part of
  std::string rpc;      // the method of chunkkv.v1.KvCacheService
  int grpc_code = 0;
  std::string reason;  // empty: it ended OK
  int64_t bytes = 0;   // of tensors
  int64_t begun_unix_ns = 0;
  int64_t ended_unix_ns = 0;
};

// The body of a request to /v1/traces.
std::string SpansJson(const std::vector<Span>& spans);

// Sends what it is given in batches, from a thread of its own; what a collector that does not answer would make pile up
// is dropped, the oldest first. Thread-safe.
class SpanExporter {
 public:
  // `endpoint`: "http://host:port". Errors: INVALID_ARGUMENT (BAD_TRACE_ENDPOINT).
  static absl::StatusOr<std::unique_ptr<SpanExporter>> Start(const std::string& endpoint);
  // Sends what is left, once.
  ~SpanExporter();

  void Add(Span span);
  // Spans that never reached the collector.
  int64_t dropped() const;

 private:
  explicit SpanExporter(std::string endpoint);
  void Run();
  void Send(std::vector<Span> spans);

  const std::string endpoint_;
  mutable Mutex mutex_;
  CondVar wake_;
  std::deque<Span> queue_ ABSL_GUARDED_BY(mutex_);
  int64_t dropped_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_OPERATION_SPAN_EXPORTER_H_
