#include "client/cli/kept_map.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/output.h"

namespace chunkkv::cli {
namespace {

constexpr const char* kShades[] = {"·", "░", "▒", "▓", "█"};
constexpr int kMinColumns = 10;
constexpr int kSvgWidth = 960;
constexpr int kSvgRowHeight = 14;
constexpr int kSvgMargin = 60;

const char* Shade(double share) {
  if (share <= 0) return kShades[0];
  if (share >= 1) return kShades[4];
  return kShades[1 + std::min(2, static_cast<int>(share * 3))];
}

// What joins the lines of a group: nothing for a layer alone.
const char* Bracket(int32_t line, int32_t line_count) {
  if (line_count == 1) return " ";
  if (line == 0) return "┌";
  return line == line_count - 1 ? "└" : "│";
}

int DigitCount(int64_t number) { return static_cast<int>(absl::StrCat(number).size()); }

}  // namespace

std::vector<double> KeptShares(const EntryHeader& header, size_t group, int columns) {
  const int64_t token_count = header.token_count;
  columns = static_cast<int>(std::min<int64_t>(columns, token_count));
  if (group >= header.positions.size() || header.positions[group].empty()) {
    const bool everything = group < header.row_counts.size() && header.row_counts[group] == token_count;
    return std::vector<double>(columns, everything ? 1 : 0);
  }
  std::vector<double> shares(columns);
  for (const int32_t position : header.positions[group]) shares[int64_t{position} * columns / token_count] += 1;
  for (int column = 0; column < columns; ++column) {
    // Tokens t with floor(t * columns / L) = column.
    const int64_t begin = (column * token_count + columns - 1) / columns;
    const int64_t end = ((column + 1) * token_count + columns - 1) / columns;
    shares[column] /= static_cast<double>(end - begin);
  }
  return shares;
}

std::string KeptMapText(const EntryHeader& header, int width) {
  const std::vector<int32_t> layers = AttentionLayers(header.layout);
  const int digits = DigitCount(layers.empty() ? 0 : layers.back());
  const int columns = std::max(kMinColumns, width - digits - 4);
  std::string text;
  for (size_t group = 0; group < header.groups.size(); ++group) {
    std::string line;
    for (const double share : KeptShares(header, group, columns)) line += Shade(share);
    const ReuseGroup& reuse = header.groups[group];
    for (int32_t i = 0; i < reuse.layer_count; ++i) {
      const bool leads = reuse.layer_count > 1 && reuse.leader == reuse.first_layer + i;
      absl::StrAppend(&text, absl::StrFormat("%*d", digits, layers[reuse.first_layer + i]), leads ? "*" : " ",
                      Bracket(i, reuse.layer_count), " ", line, "\n");
    }
  }
  const std::string last = CountText(header.token_count - 1);
  const int drawn = static_cast<int>(std::min<int64_t>(columns, header.token_count));
  const int gap = std::max(1, drawn - 1 - static_cast<int>(last.size()));
  absl::StrAppend(&text, std::string(digits + 3, ' '), "0", std::string(gap, ' '), last, "\n");
  absl::StrAppend(&text, std::string(digits + 3, ' '), "kept: ", kShades[0], " none  ", kShades[1], kShades[2],
                  kShades[3], " some  ", kShades[4], " all\n");
  return text;
}

std::string KeptMapSvg(const EntryHeader& header) {
  const std::vector<int32_t> layers = AttentionLayers(header.layout);
  const int layer_count = static_cast<int>(layers.size());
  const int height = layer_count * kSvgRowHeight + 50;
  const double scale = static_cast<double>(kSvgWidth) / static_cast<double>(std::max<int64_t>(header.token_count, 1));
  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"10\">\n"
      "<title>Kept tokens by layer</title>\n"
      "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
      kSvgWidth + kSvgMargin + 20, height);
  for (size_t group = 0; group < header.groups.size(); ++group) {
    const ReuseGroup& reuse = header.groups[group];
    const int top = 10 + reuse.first_layer * kSvgRowHeight;
    const int group_height = reuse.layer_count * kSvgRowHeight - 2;
    absl::StrAppend(&svg, absl::StrFormat("<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#eef\"/>\n",
                                          kSvgMargin, top, kSvgWidth, group_height));
    std::string path;
    const auto add_run = [&](int64_t begin, int64_t end) {
      absl::StrAppend(&path, absl::StrFormat("M%.2f %dh%.2fv%dh%.2fz", kSvgMargin + static_cast<double>(begin) * scale,
                                             top, static_cast<double>(end - begin) * scale, group_height,
                                             -static_cast<double>(end - begin) * scale));
    };
    const std::vector<int32_t> none;
    const std::vector<int32_t>& kept = group < header.positions.size() ? header.positions[group] : none;
    const bool everything =
        kept.empty() && group < header.row_counts.size() && header.row_counts[group] == header.token_count;
    if (everything) add_run(0, header.token_count);
    for (size_t first = 0; first < kept.size();) {
      size_t last = first;
      while (last + 1 < kept.size() && kept[last + 1] == kept[last] + 1) ++last;
      add_run(kept[first], int64_t{kept[last]} + 1);
      first = last + 1;
    }
    absl::StrAppend(&svg, "<path fill=\"#2b4b9b\" d=\"", path, "\"/>\n");
    for (int32_t i = 0; i < reuse.layer_count; ++i) {
      const bool leads = reuse.layer_count > 1 && reuse.leader == reuse.first_layer + i;
      absl::StrAppend(&svg, absl::StrFormat("<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%d%s</text>\n",
                                            kSvgMargin - 10, top + i * kSvgRowHeight + kSvgRowHeight - 4,
                                            layers[reuse.first_layer + i], leads ? "*" : ""));
    }
    if (reuse.layer_count > 1) {
      absl::StrAppend(&svg, absl::StrFormat("<path d=\"M%d %dh-4v%dh4\" fill=\"none\" stroke=\"#555\"/>\n",
                                            kSvgMargin - 2, top, group_height));
    }
  }
  const int axis = 10 + layer_count * kSvgRowHeight + 14;
  absl::StrAppend(
      &svg, absl::StrFormat("<text x=\"%d\" y=\"%d\">0</text>\n<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n",
                            kSvgMargin, axis, kSvgMargin + kSvgWidth, axis, CountText(header.token_count - 1)));
  absl::StrAppend(&svg, absl::StrFormat("<text x=\"%d\" y=\"%d\">%s</text>\n</svg>\n", kSvgMargin, axis + 14,
                                        "token positions; blue: kept; layers down, those joined share kept positions"));
  return svg;
}

}  // namespace chunkkv::cli
