// What every implementation refuses: contents that are not finite, cancelled batches, tasks that contradict the plan.
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <numeric>
#include <random>
#include <utility>

#include "chunkkv/kernels/limits.h"
#include "chunkkv/kernels/status.h"
#include "tests/unit/kernels/implementations.h"
#include "tests/unit/kernels/random_prompt.h"
#include "tests/unit/kernels/row_memory.h"

namespace chunkkv::testing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

class CompactorRefusal : public PerImplementation {
 protected:
  // Reason that compacting `prompt` ends with; empty where it is accepted.
  std::string ReasonFor(const RandomPrompt& prompt, ExecutionContext context = {}, int32_t reuse_group = 1) {
    CompactionSpec spec;
    spec.policy = Policy::kChunkKv;
    spec.keep_ratio = 0.5;
    spec.window_length = 8;
    spec.reuse_group = reuse_group;
    const auto plan = MakePlan(spec, prompt.shape());
    EXPECT_TRUE(plan.ok()) << plan.status();
    return StatusReason(Compact(compactor(), *plan, prompt.layers(), std::move(context)).status);
  }
};
CHUNKKV_FOR_EACH_IMPLEMENTATION(CompactorRefusal);

TEST_P(CompactorRefusal, NonFiniteQueriesAndKeysOfAScoredLayer) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const bool has_lse : {false, true}) {
      for (const float bad : {kNan, kInf, -kInf}) {
        PromptOptions options;
        options.dtype = dtype;
        options.has_lse = has_lse;
        options.softcap = has_lse ? 0 : 30;  // tanh hides Inf
        options.key_head_size = 9;
        options.token_count = 500;
        RandomPrompt queries(options, 1);
        queries.SetQuery(0, 8 * 4 * 9 - 1, bad);
        EXPECT_EQ(ReasonFor(queries), "NON_FINITE_INPUT") << bad;
        for (const int64_t token : {0, 47, 48, 491, 492, 499}) {  // in the window, too
          RandomPrompt keys(options, 1);
          keys.SetKey(0, token, 1, 8, bad);
          EXPECT_EQ(ReasonFor(keys), "NON_FINITE_INPUT") << bad << " in key " << token;
        }
        RandomPrompt values(options, 1);
        values.SetValue(0, 3, 0, 0, bad);
        EXPECT_EQ(ReasonFor(values), "") << "values are copied unread";
      }
    }
  }
}

TEST_P(CompactorRefusal, LogitsThatOverflowToMinusInf) {
  PromptOptions options;
  RandomPrompt prompt(options, 1);
  for (int64_t d = 0; d < 8; ++d) {
    prompt.SetKey(0, 5, 0, d, -3e38f);
    prompt.SetQuery(0, d, 3.0f);
  }
  EXPECT_EQ(ReasonFor(prompt), "NON_FINITE_INPUT");
}

TEST_P(CompactorRefusal, NothingInKeysThatNoQuerySeesTogetherWithIt) {
  // Query 0 sees keys up to L - w; an overflow of its product with a later key is no logit.
  PromptOptions options;
  options.heads_per_kv = 1;
  options.kv_head_count = 1;
  options.key_head_size = 1;
  RandomPrompt prompt(options, 1);
  for (int64_t i = 0; i < 8; ++i) prompt.SetQuery(0, i, i == 0 ? 1e30f : 1e-30f);
  for (int64_t j = 0; j < 40; ++j) prompt.SetKey(0, j, 0, 0, j == 39 ? -1e30f : 0.0f);
  EXPECT_EQ(ReasonFor(prompt), "");
}

TEST_P(CompactorRefusal, NonFiniteLse) {
  for (const float bad : {kNan, kInf, -kInf}) {
    PromptOptions options;
    options.has_lse = true;
    RandomPrompt prompt(options, 1);
    prompt.SetLse(0, 31, bad);
    EXPECT_EQ(ReasonFor(prompt), "NON_FINITE_INPUT") << bad;
  }
}

TEST_P(CompactorRefusal, LseSoWrongThatScoresOverflow) {
  PromptOptions options;
  options.has_lse = true;
  RandomPrompt prompt(options, 1);
  prompt.SetLse(0, 0, -200.0f);
  EXPECT_EQ(ReasonFor(prompt), "NON_FINITE_INPUT");
}

TEST_P(CompactorRefusal, NonFiniteOrNegativeAttention) {
  for (const int64_t index : {0, 39, 40 * 8 * 4 - 1}) {  // the last lies in the window
    for (const float bad : {kNan, kInf, -kInf}) {
      PromptOptions options;
      options.source = ScoreSource::kAttention;
      RandomPrompt prompt(options, 1);
      prompt.SetAttention(0, index, bad);
      EXPECT_EQ(ReasonFor(prompt), "NON_FINITE_INPUT") << bad << " at " << index;
      prompt.SetAttention(0, index, -0.25f);
      EXPECT_EQ(ReasonFor(prompt), "NEGATIVE_SCORES");
    }
  }
}

TEST_P(CompactorRefusal, NonFiniteOrNegativeTokenScores) {
  for (const int64_t index : {0, 7, 31}) {
    PromptOptions options;
    options.source = ScoreSource::kTokenScores;
    RandomPrompt prompt(options, 1);
    for (const float bad : {kNan, kInf, -kInf}) {
      prompt.SetTokenScore(0, index, bad);
      EXPECT_EQ(ReasonFor(prompt), "NON_FINITE_INPUT") << bad;
    }
    prompt.SetTokenScore(0, index, -1e-30f);
    EXPECT_EQ(ReasonFor(prompt), "NEGATIVE_SCORES");
    prompt.SetTokenScore(0, index, -0.0f);
    EXPECT_EQ(ReasonFor(prompt), "");
  }
}

// Runs the first lane up to its first look at cancellation, then all others, then what the first has left.
class OvertakenLane {
 public:
  ExecutionContext Context() {
    ExecutionContext context;
    context.run_parallel = [this](size_t count, const std::function<void(size_t)>& body) {
      others_ = [count, &body] {
        for (size_t lane = 1; lane < count; ++lane) body(lane);
      };
      body(0);
      RunOthers();
    };
    context.cancelled = [this] {
      RunOthers();
      return false;
    };
    return context;
  }

 private:
  void RunOthers() {
    if (const auto others = std::exchange(others_, nullptr)) others();
  }

  std::function<void()> others_;
};

TEST_P(CompactorRefusal, ByTheFirstBadScoreOnAnyThreads) {
  for (const ScoreSource source : {ScoreSource::kAttention, ScoreSource::kTokenScores}) {
    for (const bool negative_first : {false, true}) {
      PromptOptions options;
      options.source = source;
      options.token_count = 4000;
      RandomPrompt prompt(options, 1);
      for (const int64_t index : {100, 3500}) {
        const float bad = (index == 100) == negative_first ? -1.0f : kNan;
        source == ScoreSource::kAttention ? prompt.SetAttention(0, index, bad) : prompt.SetTokenScore(0, index, bad);
      }
      const std::string reason = negative_first ? "NEGATIVE_SCORES" : "NON_FINITE_INPUT";
      EXPECT_EQ(ReasonFor(prompt), reason);
      ExecutionContext threads;
      threads.run_parallel = OnThreads(4);
      EXPECT_EQ(ReasonFor(prompt, threads), reason);
      OvertakenLane overtaken;
      EXPECT_EQ(ReasonFor(prompt, overtaken.Context()), reason) << ScoreSourceName(source);
    }
  }
}

TEST_P(CompactorRefusal, NothingInLayersThatDoNotChoose) {
  PromptOptions options;
  options.layer_count = 2;
  RandomPrompt prompt(options, 1);
  prompt.SetKey(1, 5, 0, 0, kNan);
  EXPECT_EQ(ReasonFor(prompt, {}, /*reuse_group=*/2), "");
  EXPECT_EQ(ReasonFor(prompt, {}, /*reuse_group=*/1), "NON_FINITE_INPUT");
}

TEST_P(CompactorRefusal, CancelledBatches) {
  PromptOptions options;
  options.token_count = 2000;
  const RandomPrompt prompt(options, 1);
  for (const int looks : {0, 1, 5}) {
    for (const int threads : {1, 3}) {
      std::atomic<int> look{0};
      ExecutionContext context;
      if (threads > 1) context.run_parallel = OnThreads(threads);
      context.cancelled = [&look, looks] { return look.fetch_add(1) >= looks; };
      EXPECT_EQ(ReasonFor(prompt, context), "CANCELLED") << looks;
    }
  }
}

// A context that is cancelled from its second look on.
ExecutionContext CancelledAtTheSecondLook(std::atomic<int>& look) {
  ExecutionContext context;
  context.cancelled = [&look] { return look.fetch_add(1) >= 1; };
  return context;
}

TEST_P(CompactorRefusal, CancelledWhileOneGroupIsSelected) {
  PromptOptions options;
  options.token_count = 9000;
  options.source = ScoreSource::kTokenScores;
  const RandomPrompt prompt(options, 1);
  CompactionSpec spec;
  spec.policy = Policy::kSnapKv;
  spec.keep_ratio = 0.5;
  spec.window_length = 8;
  spec.pool = 1001;
  const Plan plan = MakePlan(spec, prompt.shape()).value();
  const auto* scores = reinterpret_cast<const float*>(prompt.layers()[0].token_scores.data);
  std::vector<int32_t> positions(plan.budget);
  const SelectTask task{0, plan.budget, absl::MakeConstSpan(&scores, 1), positions.data(), nullptr};
  Batch batch;
  batch.select = absl::MakeConstSpan(&task, 1);
  std::atomic<int> look{0};
  ExecutionContext context = CancelledAtTheSecondLook(look);
  EXPECT_EQ(StatusReason(RunBatch(compactor(), plan, batch, context)), "CANCELLED");
}

TEST_P(CompactorRefusal, CancelledWhileOneSliceIsAddedUp) {
  PromptOptions options;
  options.token_count = 100;
  options.source = ScoreSource::kAttention;
  options.heads_per_kv = 32;
  options.key_head_size = 1;
  options.window_length = 32;
  const RandomPrompt prompt(options, 1);
  CompactionSpec spec;
  spec.policy = Policy::kChunkKv;
  spec.keep_ratio = 0.5;
  const Plan plan = MakePlan(spec, prompt.shape()).value();
  std::vector<float> scores(plan.past_length);
  ScoreTask task;
  task.attention = prompt.layers()[0].attention;
  task.token_scores = scores.data();
  Batch batch;
  batch.score = absl::MakeConstSpan(&task, 1);
  std::atomic<int> look{0};
  ExecutionContext context = CancelledAtTheSecondLook(look);
  EXPECT_EQ(StatusReason(RunBatch(compactor(), plan, batch, context)), "CANCELLED");
}

TEST_P(CompactorRefusal, KeepsTheFirstFailureUntilWaitTakesIt) {
  PromptOptions options;
  RandomPrompt bad(options, 1);
  bad.SetQuery(0, 0, kNan);
  const RandomPrompt good(options, 2);
  CompactionSpec spec;
  spec.policy = Policy::kChunkKv;
  spec.keep_ratio = 0.5;
  spec.window_length = 8;
  const Plan plan = MakePlan(spec, bad.shape()).value();
  std::vector<float> scores(plan.past_length);
  ExecutionContext context;
  for (const RandomPrompt* prompt : {static_cast<const RandomPrompt*>(&bad), &good}) {
    const LayerInput& input = prompt->layers()[0];
    const ScoreTask task{0, input.keys, input.queries, nullptr, {}, {}, scores.data()};
    Batch batch;
    batch.score = absl::MakeConstSpan(&task, 1);
    GuardedWorkspace workspace(compactor(), plan, batch);
    EXPECT_TRUE(compactor().Enqueue(plan, batch, workspace.Span(), context).ok());
  }
  EXPECT_EQ(StatusReason(compactor().Wait(context)), "NON_FINITE_INPUT");
  EXPECT_TRUE(compactor().Wait(context).ok());
}

// One good batch of each kind of task, to spoil.
struct Tasks {
  Tasks() : prompt(PromptOptions(), 1) {
    CompactionSpec spec;
    spec.policy = Policy::kChunkKv;
    spec.keep_ratio = 0.5;
    spec.window_length = 8;
    plan = MakePlan(spec, prompt.shape()).value();
    const LayerInput& input = prompt.layers()[0];
    scores.resize(plan.past_length);
    positions.resize(plan.budget);
    rows.resize(plan.budget * 2 * 8 * sizeof(float));
    score_lists = {scores.data()};
    rope = {0, 8, false, {1, 0.5, 0.25, 0.125}};
    score = {0, input.keys, input.queries, nullptr, {}, {}, scores.data()};
    select = {0, plan.budget, score_lists, positions.data(), nullptr};
    gather = {input.keys, positions, rows.data()};
    rotate = {TokenMajorRows(rows.data(), DType::kF32, plan.budget, 2, 8), positions, &rope, rows.data()};
    slots.resize(plan.budget);
    std::iota(slots.begin(), slots.end(), 0);
    std::mt19937 random(1);
    cache = RowMemory({DType::kF32, plan.budget, 2, 8, 3}, RowLayout::kPaged, random);
    scatter = {rows.data(), slots, cache.MutableRows()};
  }
  absl::Status Run(const Compactor& compactor) {
    Batch batch;
    batch.score = absl::MakeConstSpan(&score, 1);
    batch.select = absl::MakeConstSpan(&select, 1);
    batch.gather = absl::MakeConstSpan(&gather, 1);
    batch.rotate = absl::MakeConstSpan(&rotate, 1);
    batch.scatter = absl::MakeConstSpan(&scatter, 1);
    GuardedWorkspace workspace(compactor, plan, batch);
    const absl::Span<std::byte> given(workspace.Span().data() + workspace_shift, workspace.Span().size());
    ExecutionContext context;
    if (absl::Status status = compactor.Enqueue(plan, batch, given, context); !status.ok()) return status;
    return compactor.Wait(context);
  }

  size_t workspace_shift = 0;
  RandomPrompt prompt;
  Plan plan;
  std::vector<float> scores;
  std::vector<int32_t> positions;
  std::vector<std::byte> rows;
  std::vector<int32_t> slots;  // where in the cache the kept rows go
  RowMemory cache;
  std::vector<int32_t> only_block = {0};
  std::vector<const float*> score_lists;
  RopeShape rope;
  ScoreTask score;
  SelectTask select;
  GatherTask gather;
  RotateTask rotate;
  ScatterTask scatter;
};

// Looks at rows that lie in a row as if they were an engine's, in one block.
void PageRows(Tasks& tasks, RowsView& rows) {
  rows.block_ids = tasks.only_block.data();
  rows.block_token_count = static_cast<int32_t>(rows.token_count);
  rows.block_count = 1;
}

TEST_P(CompactorRefusal, TasksThatContradictThePlan) {
  struct Row {
    const char* what;
    const char* reason;
    std::function<void(Tasks&)> spoil;
  };
  const Row rows[] = {
      {"nothing wrong", "", [](Tasks&) {}},
      {"layer", "BAD_TASK", [](Tasks& t) { t.score.layer = 1; }},
      {"negative layer", "BAD_TASK", [](Tasks& t) { t.score.layer = -1; }},
      {"token count", "BAD_TASK", [](Tasks& t) { t.score.keys.token_count = 39; }},
      {"head size", "BAD_TASK", [](Tasks& t) { t.score.keys.head_size = 9; }},
      {"dtype", "BAD_TASK", [](Tasks& t) { t.score.keys.dtype = DType::kF16; }},
      {"fp8 keys", "SCORING_FP8", [](Tasks& t) { t.score.keys.dtype = DType::kF8E4M3; }},
      {"scales of keys that need none", "BAD_TASK", [](Tasks& t) { t.score.key_scales = t.score.keys; }},
      {"fp8 queries", "SCORING_FP8", [](Tasks& t) { t.score.queries.dtype = DType::kF8E5M2; }},
      {"no keys", "BAD_TASK", [](Tasks& t) { t.score.keys.data = nullptr; }},
      {"no queries", "BAD_TASK", [](Tasks& t) { t.score.queries.data = nullptr; }},
      {"no scores", "BAD_TASK", [](Tasks& t) { t.score.token_scores = nullptr; }},
      {"lse not planned", "BAD_TASK", [](Tasks& t) { t.score.lse = t.scores.data(); }},
      {"keys on a device", "DEVICE_MEMORY", [](Tasks& t) { t.score.keys.place.kind = MemoryKind::kDevice; }},
      {"group", "BAD_TASK", [](Tasks& t) { t.select.group = 1; }},
      {"budget above L", "BAD_TASK", [](Tasks& t) { t.select.budget = 41; }},
      {"budget below window", "BAD_TASK", [](Tasks& t) { t.select.budget = 7; }},
      {"no list of scores", "BAD_TASK", [](Tasks& t) { t.select.token_scores = {}; }},
      {"null list", "BAD_TASK", [](Tasks& t) { t.score_lists[0] = nullptr; }},
      {"no positions", "BAD_TASK", [](Tasks& t) { t.select.positions = nullptr; }},
      {"gather to nowhere", "BAD_TASK", [](Tasks& t) { t.gather.destination = nullptr; }},
      {"gather from nowhere", "BAD_TASK", [](Tasks& t) { t.gather.source.data = nullptr; }},
      {"unknown dtype", "BAD_TASK", [](Tasks& t) { t.gather.source.dtype = DType(9); }},
      {"fp8 rotation", "ROTATING_FP8", [](Tasks& t) { t.rotate.source.dtype = DType::kF8E4M3; }},
      {"no rope", "BAD_ROPE", [](Tasks& t) { t.rotate.rope = nullptr; }},
      {"odd rotary dims", "BAD_ROPE", [](Tasks& t) { t.rope.rotary_dims = 7; }},
      {"rope past the head", "BAD_ROPE", [](Tasks& t) { t.rope.first_dim = 2; }},
      {"negative first dim", "BAD_ROPE", [](Tasks& t) { t.rope.first_dim = -2; }},
      {"inv_freq count", "BAD_ROPE", [](Tasks& t) { t.rope.inv_freq.pop_back(); }},
      {"rows of another count", "BAD_TASK", [](Tasks& t) { t.rotate.positions = t.rotate.positions.subspan(1); }},
      {"rows with gaps", "BAD_TASK", [](Tasks& t) { t.rotate.source.token_stride_bytes += 4; }},
      {"rows in pages", "BAD_TASK", [](Tasks& t) { PageRows(t, t.rotate.source); }},
      {"keys in pages", "", [](Tasks& t) { PageRows(t, t.score.keys); }},
      {"keys in pages without tokens", "BAD_TASK",
       [](Tasks& t) {
         PageRows(t, t.score.keys);
         t.score.keys.block_token_count = 0;
       }},
      {"gather from pages", "", [](Tasks& t) { PageRows(t, t.gather.source); }},
      {"gather from pages without tokens", "BAD_TASK",
       [](Tasks& t) {
         PageRows(t, t.gather.source);
         t.gather.source.block_token_count = -1;
       }},
      {"gather from a negative count of pages", "BAD_TASK",
       [](Tasks& t) {
         PageRows(t, t.gather.source);
         t.gather.source.block_count = -1;
       }},
      {"gather from pages without ids", "BAD_TASK", [](Tasks& t) { t.gather.source.block_token_count = 16; }},
      {"gather from no pages at all", "BAD_POSITIONS",
       [](Tasks& t) {
         PageRows(t, t.gather.source);
         t.gather.source.block_count = 0;
       }},
      {"scatter from nowhere", "BAD_TASK", [](Tasks& t) { t.scatter.source = nullptr; }},
      {"scatter of nothing from nowhere", "",
       [](Tasks& t) {
         t.scatter.source = nullptr;
         t.scatter.positions = {};
       }},
      {"scatter to nowhere", "BAD_TASK", [](Tasks& t) { t.scatter.destination.data = nullptr; }},
      {"scatter to an unknown dtype", "BAD_TASK", [](Tasks& t) { t.scatter.destination.dtype = DType(9); }},
      {"scatter to fewer than no tokens", "BAD_TASK", [](Tasks& t) { t.scatter.destination.token_count = -1; }},
      {"scatter to fewer than no heads", "BAD_TASK", [](Tasks& t) { t.scatter.destination.head_count = -1; }},
      {"scatter to heads of negative size", "BAD_TASK", [](Tasks& t) { t.scatter.destination.head_size = -1; }},
      {"scatter to pages without tokens", "BAD_TASK", [](Tasks& t) { t.scatter.destination.block_token_count = 0; }},
      {"scatter to pages without ids", "BAD_TASK", [](Tasks& t) { t.scatter.destination.block_ids = nullptr; }},
      {"scatter to a negative count of pages", "BAD_TASK", [](Tasks& t) { t.scatter.destination.block_count = -1; }},
      {"scatter to a device", "DEVICE_MEMORY",
       [](Tasks& t) { t.scatter.destination.place.kind = MemoryKind::kDevice; }},
      {"rows above the limit", "BAD_TASK", [](Tasks& t) { t.gather.source.token_count = kMaxTokenCount + 1; }},
      {"rows at the limit, all in one place", "",
       [](Tasks& t) {
         t.gather.source.token_count = kMaxTokenCount;
         t.gather.source.token_stride_bytes = 0;
       }},
      {"gather of too many heads", "BAD_TASK", [](Tasks& t) { t.gather.source.head_count = kMaxHeadCount + 1; }},
      {"gather of too large heads", "BAD_TASK", [](Tasks& t) { t.gather.source.head_size = kMaxHeadSize + 1; }},
      {"rows of 2^32 bytes", "BAD_TASK",
       [](Tasks& t) { t.gather.source.head_count = t.gather.source.head_size = 1 << 15; }},
      {"scatter to too many heads", "BAD_TASK", [](Tasks& t) { t.scatter.destination.head_count = kMaxHeadCount + 1; }},
      {"rotation of too many heads", "BAD_TASK", [](Tasks& t) { t.rotate.source.head_count = kMaxHeadCount + 1; }},
      {"gather of more positions than prompts have", "BAD_TASK",
       [](Tasks& t) {
         t.gather.positions = {t.positions.data(), size_t{kMaxTokenCount} + 1};
       }},
      {"scatter of more positions than 32 bits count", "BAD_TASK",
       [](Tasks& t) {
         t.scatter.positions = {t.slots.data(), (size_t{1} << 32) + 1};
       }},
      {"rotation of more positions than prompts have", "BAD_TASK",
       [](Tasks& t) {
         t.rotate.positions = {t.positions.data(), size_t{kMaxTokenCount} + 1};
       }},
      {"positions without memory", "BAD_TASK",
       [](Tasks& t) {
         t.gather.positions = {nullptr, size_t{3}};
       }},
      {"misaligned workspace", "BAD_TASK", [](Tasks& t) { t.workspace_shift = 32; }},
      {"workspace aligned to nothing", "BAD_TASK", [](Tasks& t) { t.workspace_shift = 1; }},
  };
  for (const Row& row : rows) {
    Tasks tasks;
    row.spoil(tasks);
    EXPECT_EQ(StatusReason(tasks.Run(compactor())), row.reason) << row.what;
  }
}

TEST_P(CompactorRefusal, TooSmallAWorkspace) {
  Tasks tasks;
  Batch batch;
  batch.score = absl::MakeConstSpan(&tasks.score, 1);
  GuardedWorkspace workspace(compactor(), tasks.plan, batch);
  ExecutionContext context;
  const absl::Span<std::byte> too_small = workspace.Span().subspan(0, workspace.Span().size() - 1);
  EXPECT_EQ(StatusReason(compactor().Enqueue(tasks.plan, batch, too_small, context)), "WORKSPACE_TOO_SMALL");
}

}  // namespace
}  // namespace chunkkv::testing
