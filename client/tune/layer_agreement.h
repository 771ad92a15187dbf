// How much the layers of a model agree on what to keep, averaged over prompts.
#ifndef CHUNKKV_CLIENT_TUNE_LAYER_AGREEMENT_H_
#define CHUNKKV_CLIENT_TUNE_LAYER_AGREEMENT_H_

#include <cstdint>
#include <vector>

#include "client/tune/loss_table.h"

namespace chunkkv::tune {

struct LayerAgreement {
  int64_t prompt_count = 0;      // that were measured
  int64_t token_count = 0;       // of all of them
  int64_t skipped_count = 0;     // prompts that said nothing: see AgreementMeter::Add
  std::vector<double> own_mass;  // [N] retained mass of each layer's own choice
  // [N][max_group - 1] Jaccard similarity of the own choices of layers l and l + 1 + i, of the past without sinks;
  // rows of the last layers are shorter.
  std::vector<std::vector<double>> jaccard;
  LossTable losses{0, 1};

  // Number of the next prompt, skipped ones counted.
  int64_t PromptIndex() const { return prompt_count + skipped_count; }
};

}  // namespace chunkkv::tune

#endif  // CHUNKKV_CLIENT_TUNE_LAYER_AGREEMENT_H_
