// What `tune` found, and why it grouped the layers as it did.
#ifndef CHUNKKV_CLIENT_CLI_TUNE_REPORT_H_
#define CHUNKKV_CLIENT_CLI_TUNE_REPORT_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "client/tune/group_options.h"
#include "client/tune/layer_agreement.h"
#include "service/format/reuse_profile.h"

namespace chunkkv::cli {

struct TuneReport {
  tune::LayerAgreement agreement;
  tune::GroupRules rules;
  ReuseProfile profile;
  std::vector<std::string> prompts;  // names of all that were given; Loss::worst_prompt counts them
};

// Tables for people. Layers are numbered among the attention layers.
std::string TuneText(const TuneReport& report);

// The same, and every loss that was measured.
nlohmann::json TuneJson(const TuneReport& report);

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_TUNE_REPORT_H_
