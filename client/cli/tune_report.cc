#include "client/cli/tune_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/output.h"
#include "client/tune/refused_merge.h"

namespace chunkkv::cli {
namespace {

using Json = nlohmann::json;
using tune::Loss;

int32_t EndOf(const ReuseGroup& group) { return group.first_layer + group.layer_count; }

int32_t ScoredLayers(const ReuseGroup& group) { return group.leader >= 0 ? 1 : group.layer_count; }

int32_t ScoredLayers(const std::vector<ReuseGroup>& groups) {
  int32_t count = 0;
  for (const ReuseGroup& group : groups) count += ScoredLayers(group);
  return count;
}

std::string RangeText(const ReuseGroup& group) {
  return group.layer_count == 1 ? absl::StrCat(group.first_layer)
                                : absl::StrCat(group.first_layer, "-", EndOf(group) - 1);
}

std::string LossText(double loss) { return absl::StrFormat("%.2f %%", loss * 100); }

const char* BracketOf(const ReuseGroup& group, int32_t layer) {
  if (group.layer_count == 1) return " ";
  return layer == group.first_layer ? "┌" : layer == EndOf(group) - 1 ? "└" : "│";
}

std::string RoleText(const ReuseGroup& group, int32_t layer) {
  if (group.layer_count == 1) return "alone";
  if (group.leader < 0) return "sum";
  return layer == group.leader ? "leader" : absl::StrCat("follows ", group.leader);
}

std::string LayerLine(const TuneReport& report, const ReuseGroup& group, int32_t layer) {
  const std::vector<double>& jaccard = report.agreement.jaccard[layer];
  std::string line =
      absl::StrFormat("%5d %9s %9s   %s %-10s", layer, ShareText(report.agreement.own_mass[layer]),
                      jaccard.empty() ? "" : ShareText(jaccard[0]), BracketOf(group, layer), RoleText(group, layer));
  if (group.layer_count > 1) {
    const Loss& loss = report.agreement.losses.Of(group, layer);
    absl::StrAppend(&line, absl::StrFormat(" %9s %9s  %s", LossText(loss.mean), LossText(loss.worst),
                                           report.prompts[loss.worst_prompt]));
  }
  absl::StripTrailingAsciiWhitespace(&line);
  return absl::StrCat(line, "\n");
}

std::string ChoiceText(const ReuseGroup& group) {
  return group.leader >= 0 ? absl::StrCat("led by ", group.leader) : "chosen together";
}

std::string MergeText(const TuneReport& report, const ReuseGroup& one, const ReuseGroup& other) {
  const std::string both = absl::StrCat("  ", RangeText(one), " | ", RangeText(other), "  ");
  const tune::RefusedMerge refused = WhyNotMerged(report.agreement.losses, report.rules, one, other);
  if (!refused.best) {
    return absl::StrCat(both, "longer than ", report.agreement.losses.max_group(), " layers together\n");
  }
  const std::string best = absl::StrCat(both, "at best ", ChoiceText(*refused.best), ": layer ", refused.layer);
  if (refused.loss.mean > report.rules.max_loss) {
    return absl::StrCat(best, " would lose ", LossText(refused.loss.mean), "\n");
  }
  return absl::StrCat(best, " would lose ", LossText(refused.loss.worst), " of ",
                      report.prompts[refused.loss.worst_prompt], "\n");
}

std::string BoundText(const tune::GroupRules& rules) {
  std::string text = absl::StrCat("every layer loses at most ", LossText(rules.max_loss), " of its retained mass");
  if (rules.max_worst_loss) absl::StrAppend(&text, ", and ", LossText(*rules.max_worst_loss), " of any prompt");
  return text;
}

std::string KeptText(const ReuseProfile& profile) {
  const std::string budget = profile.spec.keep_ratio ? absl::StrCat(ShareText(*profile.spec.keep_ratio), " kept")
                                                     : absl::StrCat(CountText(*profile.spec.max_tokens), " kept");
  return absl::StrCat(std::string(PolicyName(profile.spec.policy)), ", ", budget,
                      profile.given_chunks ? ", given chunks" : "");
}

Json LossJson(const TuneReport& report, const Loss& loss) {
  Json json = {{"mean_loss", loss.mean}, {"worst_loss", loss.worst}};
  if (loss.worst_prompt >= 0) json["worst_prompt"] = report.prompts[loss.worst_prompt];
  return json;
}

Json GroupJson(const ReuseGroup& group) {
  Json json = {{"first_layer", group.first_layer}, {"layer_count", group.layer_count}};
  if (group.leader >= 0) json["leader"] = group.leader;
  return json;
}

Json LayersJson(const TuneReport& report) {
  Json layers = Json::array();
  for (size_t index = 0; index < report.profile.groups.size(); ++index) {
    const ReuseGroup& group = report.profile.groups[index];
    for (int32_t layer = group.first_layer; layer < EndOf(group); ++layer) {
      Json json = LossJson(report, report.agreement.losses.Of(group, layer));
      json.update({{"layer", layer},
                   {"own_mass", report.agreement.own_mass[layer]},
                   {"group", index},
                   {"jaccard_with_next", report.agreement.jaccard[layer]}});
      layers.push_back(std::move(json));
    }
  }
  return layers;
}

Json BoundariesJson(const TuneReport& report) {
  Json boundaries = Json::array();
  for (size_t index = 1; index < report.profile.groups.size(); ++index) {
    const ReuseGroup& other = report.profile.groups[index];
    const tune::RefusedMerge refused =
        WhyNotMerged(report.agreement.losses, report.rules, report.profile.groups[index - 1], other);
    Json json = refused.best ? LossJson(report, refused.loss) : Json::object();
    json["before_layer"] = other.first_layer;
    json["reason"] = !refused.best                               ? "MAX_GROUP"
                     : refused.loss.mean > report.rules.max_loss ? "MAX_LOSS"
                                                                 : "MAX_WORST_LOSS";
    if (refused.best) json.update({{"best", GroupJson(*refused.best)}, {"layer", refused.layer}});
    boundaries.push_back(std::move(json));
  }
  return boundaries;
}

// Every loss of every candidate: led by one of its layers, and chosen together.
Json LossesJson(const TuneReport& report) {
  const tune::LossTable& losses = report.agreement.losses;
  Json led = Json::array(), summed = Json::array();
  for (int32_t first = 0; first < losses.layer_count(); ++first) {
    const int32_t end = std::min(losses.layer_count(), first + losses.max_group());
    for (int32_t follower = std::max(0, first - losses.max_group() + 1); follower < end; ++follower) {
      if (follower == first) continue;
      const ReuseGroup pair{std::min(first, follower), std::abs(first - follower) + 1, first};
      led.push_back(LossJson(report, losses.Of(pair, follower)));
      led.back().update({{"leader", first}, {"layer", follower}});
    }
    for (int32_t count = 2; first + count <= end; ++count) {
      for (int32_t layer = first; layer < first + count; ++layer) {
        summed.push_back(LossJson(report, losses.Of({first, count, -1}, layer)));
        summed.back().update({{"first_layer", first}, {"layer_count", count}, {"layer", layer}});
      }
    }
  }
  return {{"led", std::move(led)}, {"summed", std::move(summed)}};
}

}  // namespace

std::string TuneText(const TuneReport& report) {
  const ReuseProfile& profile = report.profile;
  const auto layer_count = static_cast<int32_t>(profile.layers.size());
  std::string text = absl::StrCat("model          ", profile.model.name, ", ", layer_count, " attention layers\n",
                                  "fingerprint    ", ToHex(Fingerprint(profile.model)), "\n",  //
                                  "measured       ", CountText(profile.prompt_count), " prompts of ",
                                  CountText(profile.token_count), " tokens: ", KeptText(profile), "\n");
  if (report.agreement.skipped_count > 0) {
    absl::StrAppend(&text, "not measured   ", CountText(report.agreement.skipped_count),
                    " prompts in which every layer keeps the same\n");
  }
  absl::StrAppend(&text, "bound          ", BoundText(report.rules), "\n\n");
  absl::StrAppend(&text, "layer      mass   Jaccard     chosen by        loss     worst  in\n");
  for (const ReuseGroup& group : profile.groups) {
    for (int32_t layer = group.first_layer; layer < EndOf(group); ++layer) {
      absl::StrAppend(&text, LayerLine(report, group, layer));
    }
  }
  if (profile.groups.size() > 1) absl::StrAppend(&text, "\nnot joined\n");
  for (size_t index = 1; index < profile.groups.size(); ++index) {
    absl::StrAppend(&text, MergeText(report, profile.groups[index - 1], profile.groups[index]));
  }
  absl::StrAppend(&text, "\nlists          ", profile.groups.size(), " of ", layer_count, "\nscored layers  ",
                  ScoredLayers(profile.groups), " of ", layer_count, "\n");
  return text;
}

Json TuneJson(const TuneReport& report) {
  const ReuseProfile& profile = report.profile;
  Json json = {{"name", profile.name},
               {"fingerprint", ToHex(Fingerprint(profile.model))},
               {"spec", SpecJson(profile.spec)},
               {"given_chunks", profile.given_chunks},
               {"prompt_count", profile.prompt_count},
               {"token_count", profile.token_count},
               {"skipped_prompt_count", report.agreement.skipped_count},
               {"max_loss", report.rules.max_loss},
               {"layer_count", profile.layers.size()},
               {"list_count", profile.groups.size()},
               {"scored_layer_count", ScoredLayers(profile.groups)},
               {"layers", LayersJson(report)},
               {"boundaries", BoundariesJson(report)},
               {"losses", LossesJson(report)}};
  if (report.rules.max_worst_loss) json["max_worst_loss"] = *report.rules.max_worst_loss;
  for (const ReuseGroup& group : profile.groups) json["groups"].push_back(GroupJson(group));
  return json;
}

}  // namespace chunkkv::cli
