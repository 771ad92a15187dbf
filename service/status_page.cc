#include "service/status_page.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "chunkkv/kernels/spec.h"
#include "service/format/bytes.h"
#include "service/operation/log.h"
#include "service/rpc/version.h"

namespace chunkkv {
namespace {

constexpr size_t kPictureCells = 96;  // of a prompt's length

constexpr std::string_view kHead = R"(<!doctype html><html lang="en"><head><meta charset="utf-8"><title>ChunkKV</title><style>
body{font:15px/1.45 system-ui,sans-serif;color:#1c2330;background:#f6f7f9;margin:2rem auto;max-width:72rem;padding:0 1rem}
h1{font-size:1.4rem;margin:0}h2{font-size:1rem;margin:2rem 0 .5rem;color:#4a5568}
.state{display:inline-block;padding:.1rem .6rem;border-radius:1rem;font-size:.85rem;color:#fff;background:#2f855a}
.state.off{background:#c05621}.muted{color:#5a6577}
table{border-collapse:collapse;width:100%;background:#fff;border:1px solid #d9dee6}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #e8ebf0;white-space:nowrap}
th{font-weight:600;color:#4a5568;font-size:.85rem}td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
.bar{width:12rem;height:.8rem;background:#e8ebf0;border-radius:.2rem;overflow:hidden}.bar i{display:block;height:100%;background:#3b6fb6}
.kept{display:block;width:24rem;height:1rem}code{font-size:.85rem}
</style></head><body>)";

// What comes from outside must not become markup.
std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '&':
        escaped += "&amp;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string Printed(const char* format, double value) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string Size(int64_t bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return absl::StrCat(Printed(unit == 0 ? "%.0f" : "%.1f", value), " ", kUnits[unit]);
}

std::string Percent(double part, double whole) { return whole == 0 ? "–" : Printed("%.1f", 100 * part / whole) + " %"; }

std::string Ago(int64_t milliseconds) {
  return absl::FormatDuration(absl::Seconds(std::max<int64_t>(0, milliseconds) / 1000));
}

std::string TierRow(std::string_view name, int64_t budget, int64_t used, int64_t entries, int64_t evictions,
                    std::string_view note) {
  const double share = budget == 0 ? 0 : 100.0 * static_cast<double>(used) / static_cast<double>(budget);
  return absl::StrCat("<tr><td>", std::string(name), "</td><td><div class=\"bar\"><i style=\"width:",
                      Printed("%.2f", std::clamp(share, 0.0, 100.0)), "%\"></i></div></td><td class=\"number\">",
                      Size(used), "</td><td class=\"number\">", Size(budget), "</td><td class=\"number\">", entries,
                      "</td><td class=\"number\">", evictions, "</td><td>", std::string(note), "</td></tr>");
}

std::string Tiers(const StoreStats& store) {
  std::string html =
      "<h2>Tiers</h2><table><tr><th>tier</th><th>use</th><th class=\"number\">used</th><th class=\"number\">budget</th>"
      "<th class=\"number\">entries</th><th class=\"number\">evictions</th><th></th></tr>";
  html += TierRow("host memory", store.budget_bytes, store.used_bytes, store.host_entries, store.evictions, "");
  if (store.device.has_value()) {
    html += TierRow("device", store.device->budget_bytes, store.device->used_bytes, store.device->entries,
                    store.device->evictions, store.device->failure.ok() ? "" : "lost");
  }
  return html + "</table>";
}

std::string Use(const ServerState& state) {
  const double hits = static_cast<double>(state.store.host_hit_tokens + state.store.device_hit_tokens);
  const double asked = hits + static_cast<double>(state.store.miss_tokens);
  return absl::StrCat(
      "<h2>Use</h2><table><tr><th>hit rate (tokens)</th><th>received</th><th>stored</th><th>puts</th><th>gets</th>"
      "<th>watchers</th><th>pins</th><th>damaged</th></tr><tr><td>",
      Percent(hits, asked), "</td><td>", Size(state.store.received_bytes), "</td><td>", Size(state.store.stored_bytes),
      "</td><td>", state.puts, "</td><td>", state.gets, "</td><td>", state.watchers, "</td><td>", state.store.pins,
      "</td><td>", state.store.damaged_entries, "</td></tr></table>");
}

// Where along the prompt the first group's kept tokens lie: the darker, the more of a cell is kept.
std::string KeptPicture(const EntryHeader& header) {
  std::vector<double> kept(kPictureCells, 0);
  if (header.token_count == 0 || header.positions.empty()) return "";
  const std::vector<int32_t>& positions = header.positions.front();
  const auto cell_of = [&](int64_t position) {
    return static_cast<size_t>(position * static_cast<int64_t>(kPictureCells) / header.token_count);
  };
  const double cell_tokens = static_cast<double>(header.token_count) / static_cast<double>(kPictureCells);
  for (const int32_t position : positions) kept[cell_of(position)] += 1;
  const bool keeps_all = positions.empty() && header.row_counts.front() == header.token_count;
  std::string svg = absl::StrCat("<svg class=\"kept\" viewBox=\"0 0 ", kPictureCells,
                                 " 4\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"kept tokens\">"
                                 "<rect width=\"100%\" height=\"4\" fill=\"#e8ebf0\"/>");
  for (size_t cell = 0; cell < kPictureCells; ++cell) {
    const double share = keeps_all ? 1 : std::min(1.0, kept[cell] / std::max(1.0, cell_tokens));
    if (share == 0) continue;
    absl::StrAppend(&svg, "<rect x=\"", cell, "\" width=\"1\" height=\"4\" fill=\"#2b5a9e\" fill-opacity=\"",
                    Printed("%.2f", std::max(0.15, share)), "\"/>");
  }
  return svg + "</svg>";
}

std::string EntryRow(const EntryState& entry, int64_t now_unix_ms) {
  const EntryHeader& header = entry.entry->header();
  return absl::StrCat("<tr><td><code>", ToHex(header.entry_id).substr(0, 12), "</code></td><td><code>",
                      TenantDigest(entry.entry->identity().tenant), "</code></td><td>",
                      Escaped(PolicyName(header.outcome.policy_applied)), "</td><td class=\"number\">",
                      header.token_count, "</td><td class=\"number\">", header.outcome.budget,
                      "</td><td class=\"number\">", Size(header.BodyBytes()), "</td><td>",
                      entry.tier == Tier::kDevice ? "device" : "host", "</td><td class=\"number\">", entry.hit_count,
                      "</td><td>", Ago(now_unix_ms - entry.last_used_unix_ms), "</td><td>", KeptPicture(header),
                      "</td></tr>");
}

std::string Recent(const ServerState& state) {
  if (state.recent.empty()) return "<h2>Recent entries</h2><p class=\"muted\">None yet.</p>";
  std::string html =
      "<h2>Recent entries</h2><table><tr><th>entry</th><th>tenant</th><th>policy</th><th class=\"number\">tokens</th>"
      "<th class=\"number\">rows</th><th class=\"number\">size</th><th>tier</th><th class=\"number\">hits</th><th>used</th>"
      "<th>kept tokens along the prompt</th></tr>";
  for (const EntryState& entry : state.recent) html += EntryRow(entry, state.now_unix_ms);
  return html + "</table>";
}

}  // namespace

std::string StatusPage(const ServerState& state) {
  return absl::StrCat(std::string(kHead), "<h1>ChunkKV <span class=\"state", state.is_ready ? "" : " off", "\">",
                      state.is_ready ? "ready" : "draining", "</span></h1><p class=\"muted\">version ",
                      Escaped(rpc::kServerVersion), ", up for ", Ago(state.uptime_ms), ", ", state.store.entries,
                      " entries</p>", Tiers(state.store), Use(state), Recent(state), "</body></html>\n");
}

}  // namespace chunkkv
