// What the server counts, as Prometheus reads it.
#ifndef CHUNKKV_SERVICE_OPERATION_METRICS_H_
#define CHUNKKV_SERVICE_OPERATION_METRICS_H_

#include <prometheus/metric_family.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "service/base/mutex.h"
#include "service/operation/metric_list.h"

namespace chunkkv {

// What is known only at the moment of reading, such as how full a tier is: gauges, and counters that are kept elsewhere.
class MetricReadings {
 public:
  // `labels`: values of the metric's labels, in its order.
  void Add(const MetricSpec& spec, double value, std::initializer_list<std::string> labels = {});
  std::vector<prometheus::MetricFamily> Take() { return std::move(families_); }

 private:
  std::vector<prometheus::MetricFamily> families_;
};

// Thread-safe.
class Metrics {
 public:
  Metrics();

  // `reason`: the trailer's; empty where the call ended OK.
  void CountCall(const std::string& rpc, const std::string& code, const std::string& reason, double seconds);
  // `ratio`: stored by whole bytes; of puts that were compacted. `mass`: of those that were scored.
  void CountPut(double compaction_seconds, std::optional<double> ratio, std::optional<double> mass);
  void CountSent(const std::string& carrier, int64_t bytes);

  // Called at each Text, from its thread.
  void SetReader(std::function<void(MetricReadings&)> reader);
  // Prometheus's text format 0.0.4.
  std::string Text() const;

 private:
  // What a call that ended so counts in: made once, since the library makes a whole metric to find one.
  struct CallMetrics {
    prometheus::Counter* ended;
    prometheus::Histogram* seconds;
  };
  CallMetrics MetricsOf(const std::string& rpc, const std::string& code);
  std::string KnownReason(const std::string& reason);

  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& rpcs_;
  prometheus::Family<prometheus::Counter>& failures_;
  prometheus::Family<prometheus::Histogram>& durations_;
  prometheus::Family<prometheus::Counter>& sent_bytes_;
  prometheus::Histogram& compaction_seconds_;
  prometheus::Histogram& ratios_;
  prometheus::Histogram& masses_;
  mutable Mutex mutex_;
  std::function<void(MetricReadings&)> reader_ ABSL_GUARDED_BY(mutex_);
  std::map<std::pair<std::string, std::string>, CallMetrics> calls_ ABSL_GUARDED_BY(mutex_);  // by RPC and code
  std::set<std::string> reasons_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_OPERATION_METRICS_H_
