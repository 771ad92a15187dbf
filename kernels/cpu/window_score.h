// Token scores from a window of queries (QUERY_WINDOW).
//
// KV head by KV head, the queries that share it in runs of rows, the tokens in slices that threads share. With an LSE
// one pass over the keys suffices. Without, a first pass leaves exp(logit - block maximum) of one run of rows in the
// workspace, and a second weighs them by what each softmax turned out to be: no logit is computed twice, and the rows
// of a run are few enough that the workspace stays a small share of the KV.
#ifndef CHUNKKV_KERNELS_CPU_WINDOW_SCORE_H_
#define CHUNKKV_KERNELS_CPU_WINDOW_SCORE_H_

#include "absl/status/status.h"
#include "chunkkv/kernels/compactor.h"
#include "kernels/common/scratch.h"

namespace chunkkv::cpu {

absl::Status ScoreByWindow(const Plan& plan, const ScoreTask& task, Scratch scratch, const ExecutionContext& context);

size_t WindowScratchBytes(const Plan& plan, const ScoreTask& task);

}  // namespace chunkkv::cpu

#endif  // CHUNKKV_KERNELS_CPU_WINDOW_SCORE_H_
