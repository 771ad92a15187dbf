#include "service/operation/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/text_serializer.h>

#include <iterator>
#include <utility>

#include "absl/strings/str_split.h"

namespace chunkkv {
namespace {

using prometheus::Histogram;

// From a lookup on loopback to a long put.
const Histogram::BucketBoundaries kSeconds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                              0.25,   0.5,   1,      2.5,   5,    10,    30,   60};
const Histogram::BucketBoundaries kShares = {0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3,
                                             0.4,   0.5,  0.6,   0.7, 0.8,  0.9, 0.95, 1};
constexpr size_t kMaxReasons = 256;  // of which the source has fewer

std::vector<std::string> LabelsOf(const MetricSpec& spec) {
  return absl::StrSplit(spec.labels, ',', absl::SkipEmpty());
}

prometheus::Family<prometheus::Counter>& CounterOf(prometheus::Registry& registry, const MetricSpec& spec) {
  return prometheus::BuildCounter().Name(spec.name).Help(spec.help).Register(registry);
}
prometheus::Family<Histogram>& HistogramOf(prometheus::Registry& registry, const MetricSpec& spec) {
  return prometheus::BuildHistogram().Name(spec.name).Help(spec.help).Register(registry);
}

}  // namespace

void MetricReadings::Add(const MetricSpec& spec, double value, std::initializer_list<std::string> labels) {
  const bool is_counter = spec.kind == MetricKind::kCounter;
  if (families_.empty() || families_.back().name != spec.name) {
    prometheus::MetricFamily& family = families_.emplace_back();
    family.name = spec.name;
    family.help = spec.help;
    family.type = is_counter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
  }
  prometheus::ClientMetric& reading = families_.back().metric.emplace_back();
  (is_counter ? reading.counter.value : reading.gauge.value) = value;
  auto label = labels.begin();
  for (const std::string& name : LabelsOf(spec)) reading.label.push_back({name, *label++});
}

Metrics::Metrics()
    : rpcs_(CounterOf(registry_, metric::kRpcs)),
      failures_(CounterOf(registry_, metric::kRpcFailures)),
      durations_(HistogramOf(registry_, metric::kRpcDuration)),
      sent_bytes_(CounterOf(registry_, metric::kSentBytes)),
      compaction_seconds_(HistogramOf(registry_, metric::kCompactionDuration).Add({}, kSeconds)),
      ratios_(HistogramOf(registry_, metric::kCompactionRatio).Add({}, kShares)),
      masses_(HistogramOf(registry_, metric::kRetainedMass).Add({}, kShares)) {}

// Reasons are the source's own; what others might invent must not fill the memory of whoever reads.
std::string Metrics::KnownReason(const std::string& reason) {
  MutexLock lock(mutex_);
  if (reasons_.contains(reason)) return reason;
  if (reasons_.size() >= kMaxReasons) return "OTHER";
  reasons_.insert(reason);
  return reason;
}

Metrics::CallMetrics Metrics::MetricsOf(const std::string& rpc, const std::string& code) {
  MutexLock lock(mutex_);
  const auto [found, is_new] = calls_.try_emplace({rpc, code});
  if (is_new) {
    found->second = {&rpcs_.Add({{"rpc", rpc}, {"code", code}}), &durations_.Add({{"rpc", rpc}}, kSeconds)};
  }
  return found->second;
}

void Metrics::CountCall(const std::string& rpc, const std::string& code, const std::string& reason, double seconds) {
  const CallMetrics call = MetricsOf(rpc, code);
  call.ended->Increment();
  call.seconds->Observe(seconds);
  if (!reason.empty()) failures_.Add({{"reason", KnownReason(reason)}}).Increment();
}

void Metrics::CountPut(double compaction_seconds, std::optional<double> ratio, std::optional<double> mass) {
  compaction_seconds_.Observe(compaction_seconds);
  if (ratio.has_value()) ratios_.Observe(*ratio);
  if (mass.has_value()) masses_.Observe(*mass);
}

void Metrics::CountSent(const std::string& carrier, int64_t bytes) {
  sent_bytes_.Add({{"carrier", carrier}}).Increment(static_cast<double>(bytes));
}

void Metrics::SetReader(std::function<void(MetricReadings&)> reader) {
  MutexLock lock(mutex_);
  reader_ = std::move(reader);
}

std::string Metrics::Text() const {
  std::function<void(MetricReadings&)> reader;
  {
    MutexLock lock(mutex_);
    reader = reader_;
  }
  std::vector<prometheus::MetricFamily> families = registry_.Collect();
  MetricReadings readings;
  if (reader) reader(readings);
  std::ranges::move(readings.Take(), std::back_inserter(families));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace chunkkv
