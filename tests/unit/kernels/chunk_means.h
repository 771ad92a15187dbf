// What tests of ScoreTask::allows_chunk_means share.
#ifndef CHUNKKV_TESTS_UNIT_KERNELS_CHUNK_MEANS_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_CHUNK_MEANS_H_

#include <vector>

#include "tests/unit/kernels/compaction_run.h"
#include "tests/unit/kernels/random_prompt.h"

namespace chunkkv::testing {

std::vector<LayerInput> AllowChunkMeans(std::vector<LayerInput> layers);

// Each token's score becomes the mean over its chunk of the grid; the sinks' over the sinks.
void AverageChunks(const Plan& plan, CompactionOutcome& outcome);

// That `outcome`, of layers with the permission, agrees with the reference without: sums of chunks and what they
// choose up to near ties, retained mass up to the share of the chunks that the budget cuts, rows bit for bit.
void ExpectAgreesByChunks(const Plan& plan, const RandomPrompt& prompt, CompactionOutcome outcome);

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_KERNELS_CHUNK_MEANS_H_
