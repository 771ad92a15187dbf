#include "service/format/layout.h"

#include <cmath>
#include <functional>
#include <limits>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "gtest/gtest.h"
#include "service/format/entry_header.h"
#include "tests/unit/format/test_entry.h"

namespace chunkkv {
namespace {

// fp8 attention, two VERBATIM layers, f16 attention with RoPE and sinks.
Layout Mixed() { return MixedEntry().header.layout; }

std::string ReasonOf(const std::function<void(Layout*)>& change) {
  Layout layout = Mixed();
  change(&layout);
  return StatusReason(ValidateLayout(layout, {}));
}

TEST(ValidateLayoutTest, AcceptsWhatModelsHave) {
  EXPECT_EQ(ReasonOf([](Layout*) {}), "");
  EXPECT_EQ(ReasonOf([](Layout* layout) { (*layout)[2].attention->value_head_size = 0; }), "");
  EXPECT_EQ(ReasonOf([](Layout* layout) {
              (*layout)[2].attention->query_head_count = 0;
              (*layout)[2].attention->sink_logits = {1};
            }),
            "");
  EXPECT_TRUE(ValidateLayout(LatentEntry().header.layout, {}).ok());
}

TEST(ValidateLayoutTest, RefusesRunsThatDoNotFollowEachOther) {
  EXPECT_EQ(StatusReason(ValidateLayout({}, {})), "EMPTY_LAYOUT");
  const std::function<void(Layout*)> changes[] = {
      [](Layout* layout) { (*layout)[0].first_layer = 1; },
      [](Layout* layout) { (*layout)[1].first_layer = 2; },
      [](Layout* layout) { (*layout)[1].first_layer = 0; },
      [](Layout* layout) { std::swap((*layout)[0], (*layout)[1]); },
      [](Layout* layout) { (*layout)[1].layer_count = 0; },
      [](Layout* layout) { (*layout)[1].layer_count = -2; },
      [](Layout* layout) { (*layout)[2].layer_count = 1022; },
      [](Layout* layout) { (*layout)[2].layer_count = std::numeric_limits<int32_t>::max(); },
  };
  for (const auto& change : changes) EXPECT_EQ(ReasonOf(change), "BAD_LAYER_RUNS");
}

TEST(ValidateLayoutTest, RefusesDimensionsOutsideTheirCaps) {
  for (const int32_t count : {0, -1, 1025, std::numeric_limits<int32_t>::min()}) {
    EXPECT_EQ(ReasonOf([&](Layout* layout) { (*layout)[2].attention->kv_head_count = count; }), "BAD_DIMENSION");
    EXPECT_EQ(ReasonOf([&](Layout* layout) { (*layout)[2].attention->key_head_size = count; }), "BAD_DIMENSION");
    EXPECT_EQ(ReasonOf([&](Layout* layout) { (*layout)[0].attention->scales->scales_per_head = count; }),
              "BAD_DIMENSION");
  }
  EXPECT_EQ(ReasonOf([](Layout* layout) { (*layout)[2].attention->value_head_size = -1; }), "BAD_DIMENSION");
  EXPECT_EQ(ReasonOf([](Layout* layout) { (*layout)[2].attention->query_head_count = -2; }), "BAD_DIMENSION");
  EXPECT_EQ(ReasonOf([](Layout* layout) { (*layout)[0].attention->query_head_count = 3; }), "BAD_HEADS");
  EXPECT_EQ(ReasonOf([](Layout* layout) { (*layout)[1].named_tensors[0].size_bytes = 0; }), "BAD_DIMENSION");
  EXPECT_EQ(ReasonOf([](Layout* layout) { (*layout)[1].named_tensors[0].size_bytes = -5; }), "BAD_DIMENSION");
}

TEST(ValidateLayoutTest, RefusesBytesBeyond64Bits) {
  EXPECT_EQ(ReasonOf([](Layout* layout) { (*layout)[1].named_tensors[0].size_bytes = INT64_MAX; }), "SIZE_OVERFLOW");
  EXPECT_EQ(ReasonOf([](Layout* layout) { (*layout)[1].named_tensors[0].size_bytes = INT64_MAX / 2; }),
            "SIZE_OVERFLOW");
  Layout huge = LatentEntry().header.layout;
  huge[0].layer_count = 8192;
  huge[0].attention->kv_head_count = huge[0].attention->query_head_count = 16384;
  huge[0].attention->key_head_size = 16384;
  EXPECT_EQ(StatusReason(ValidateLayout(huge, {8192, 16384, 16384, INT32_MAX, 64})), "SIZE_OVERFLOW");
}

TEST(ValidateLayoutTest, RefusesTypesWithoutMeaning) {
  EXPECT_EQ(ReasonOf([](Layout* layout) { (*layout)[2].attention->key_dtype = DType{0}; }), "BAD_DTYPE");
  EXPECT_EQ(ReasonOf([](Layout* layout) { (*layout)[2].attention->value_dtype = DType{77}; }), "BAD_DTYPE");
  EXPECT_EQ(ReasonOf([](Layout* layout) { (*layout)[0].attention->scales->dtype = DType::kF8E5M2; }), "BAD_DTYPE");
  EXPECT_EQ(ReasonOf([](Layout* layout) { (*layout)[0].attention->scales->dtype = DType{0}; }), "BAD_DTYPE");
  EXPECT_EQ(ReasonOf([](Layout* layout) { (*layout)[0].attention->scales.reset(); }), "SCALES_MISSING");
  EXPECT_EQ(ReasonOf([](Layout* layout) { (*layout)[2].attention->value_dtype = DType::kF8E4M3; }), "SCALES_MISSING");
}

TEST(ValidateLayoutTest, RefusesNumbersThatAreNone) {
  const double nan = std::nan("");
  EXPECT_EQ(ReasonOf([&](Layout* layout) { (*layout)[0].attention->scale = nan; }), "BAD_SCALE");
  EXPECT_EQ(ReasonOf([&](Layout* layout) { (*layout)[0].attention->scale = -1; }), "BAD_SCALE");
  EXPECT_EQ(ReasonOf([&](Layout* layout) { (*layout)[0].attention->scale = 1e39; }), "BAD_SCALE");
  EXPECT_EQ(ReasonOf([&](Layout* layout) { (*layout)[0].attention->softcap = INFINITY; }), "BAD_SOFTCAP");
  EXPECT_EQ(ReasonOf([&](Layout* layout) { (*layout)[0].attention->softcap = 1e-46; }), "BAD_SOFTCAP");
  EXPECT_EQ(ReasonOf([&](Layout* layout) { (*layout)[2].attention->sink_logits.pop_back(); }), "BAD_SINK_LOGITS");
  EXPECT_EQ(ReasonOf([&](Layout* layout) { (*layout)[2].attention->sink_logits[0] = NAN; }), "BAD_SINK_LOGITS");
  EXPECT_EQ(ReasonOf([&](Layout* layout) { (*layout)[2].attention->rope->inv_freq[1] = nan; }), "BAD_ROPE");
  EXPECT_EQ(ReasonOf([&](Layout* layout) { (*layout)[2].attention->rope->inv_freq.push_back(1); }), "BAD_ROPE");
  EXPECT_EQ(ReasonOf([&](Layout* layout) { (*layout)[2].attention->rope->rotary_dims = 3; }), "BAD_ROPE");
  EXPECT_EQ(ReasonOf([&](Layout* layout) { (*layout)[2].attention->rope->rotary_dims = 0; }), "BAD_ROPE");
  EXPECT_EQ(ReasonOf([&](Layout* layout) { (*layout)[2].attention->rope->first_dim = 5; }), "BAD_ROPE");
  EXPECT_EQ(ReasonOf([&](Layout* layout) { (*layout)[2].attention->rope->first_dim = -1; }), "BAD_ROPE");
}

TEST(ValidateLayoutTest, RefusesNamesOfVerbatimTensors) {
  for (const std::string& name :
       {std::string(), std::string("k"), std::string("v_scale"), std::string("A"), std::string("a.b"),
        std::string("../a"), std::string(65, 'a'), std::string("ssm_state")}) {
    EXPECT_EQ(ReasonOf([&](Layout* layout) { (*layout)[1].named_tensors[0].name = name; }), "BAD_TENSOR_NAME") << name;
  }
  EXPECT_EQ(ReasonOf([](Layout* layout) { (*layout)[1].named_tensors.clear(); }), "BAD_TENSOR_NAME");
  EXPECT_EQ(ReasonOf([](Layout* layout) {
              for (int i = 0; i < 63; ++i) (*layout)[1].named_tensors.push_back({absl::StrCat("t", i), 1});
            }),
            "BAD_TENSOR_NAME");
}

TEST(ValidateLayoutTest, RefusesTooManyTensorsInAll) {
  LayerRun run;
  run.layer_count = 1024;
  for (int i = 0; i < 16; ++i) run.named_tensors.push_back({absl::StrCat("t", i), 1});
  Layout layout = {run};
  EXPECT_EQ(TensorCount(layout), 16'384);
  EXPECT_TRUE(ValidateLayout(layout, {}).ok());
  layout[0].named_tensors.push_back({"one_more", 1});
  EXPECT_EQ(StatusReason(ValidateLayout(layout, {})), "BAD_TENSOR_NAME");
}

TEST(LayoutTest, CountsTensorsAsTheyAreListed) {
  for (Layout layout : {Mixed(), LatentEntry().header.layout}) {
    size_t listed = 0;
    for (int32_t layer = 0; layer < LayerCount(layout); ++layer) listed += LayerTensors(layout, layer).size();
    EXPECT_EQ(TensorCount(layout), static_cast<int64_t>(listed));
  }
}

TEST(LayoutTest, CountsLayers) {
  const Layout layout = Mixed();
  EXPECT_EQ(LayerCount(layout), 4);
  EXPECT_EQ(AttentionLayerCount(layout), 2);
  EXPECT_EQ(AttentionIndex(layout, 0), 0);
  EXPECT_EQ(AttentionIndex(layout, 1), -1);
  EXPECT_EQ(AttentionIndex(layout, 3), 1);
  EXPECT_EQ(AttentionIndex(layout, 4), -1);
  EXPECT_EQ(FindRun(layout, 2), &layout[1]);
  EXPECT_EQ(FindRun(layout, 4), nullptr);
  EXPECT_EQ(FindRun(layout, -1), nullptr);
  // (6 + 5) bytes, two scales of 2 bytes, over 2 heads; the VERBATIM tensors twice; 16 elements of 2 bytes.
  EXPECT_EQ(FullBytes(layout, 11), 11 * 2 * (11 + 4) + 2 * 20033 + 11 * 32);
}

TEST(LayoutTest, ListsTensorsInServingOrder) {
  const Layout layout = Mixed();
  const std::vector<TensorSpec> quantised = LayerTensors(layout, 0);
  ASSERT_EQ(quantised.size(), 4u);
  EXPECT_EQ(TensorName(quantised[0]), "layers.0.k");
  EXPECT_EQ(TensorName(quantised[1]), "layers.0.v");
  EXPECT_EQ(TensorName(quantised[2]), "layers.0.k_scale");
  EXPECT_EQ(TensorName(quantised[3]), "layers.0.v_scale");
  EXPECT_EQ(quantised[1].dtype, DType::kF8E5M2);
  EXPECT_EQ(quantised[1].row_bytes, 10);
  EXPECT_EQ(quantised[2].row_bytes, 4);
  EXPECT_EQ(TensorName(LayerTensors(layout, 2).back()), "layers.2.ssm_state");
  EXPECT_EQ(LayerTensors(LatentEntry().header.layout, 0).size(), 1u);
  EXPECT_TRUE(LayerTensors(layout, 4).empty());
}

TEST(LayOutBodyTest, PutsWideTypesFirstSoThatEveryTensorIsAligned) {
  const TestEntry entry = MixedEntry();
  std::string names;
  int64_t next = 4 * (2 + 3);
  for (const TensorSlot& slot : entry.header.tensors) {
    names += TensorName(slot.spec) + " ";
    EXPECT_EQ(slot.offset, next);
    if (slot.spec.is_per_token()) {
      EXPECT_EQ(slot.offset % DTypeSize(slot.spec.dtype), 0u);
    }
    next += slot.size_bytes;
  }
  EXPECT_EQ(names,
            "layers.0.k_scale layers.0.v_scale layers.3.k layers.3.v layers.0.k layers.0.v layers.1.conv_state "
            "layers.1.ssm_state layers.2.conv_state layers.2.ssm_state ");
  EXPECT_EQ(entry.header.BodyBytes(), next);
  EXPECT_EQ(entry.header.FindTensor(3, TensorKind::kKeys, "")->row_count, 3);
  EXPECT_EQ(entry.header.FindTensor(2, TensorKind::kNamed, "ssm_state")->size_bytes, 20000);
  EXPECT_EQ(entry.header.FindTensor(2, TensorKind::kNamed, "other"), nullptr);
  EXPECT_EQ(entry.header.FindTensor(1, TensorKind::kKeys, ""), nullptr);
}

TEST(LayOutBodyTest, RefusesGroupsThatDoNotCoverTheLayers) {
  const EntryHeader header = MixedEntry().header;
  const auto reason = [&](const std::vector<ReuseGroup>& groups, const std::vector<int64_t>& row_counts) {
    return StatusReason(LayOutBody(header.layout, groups, row_counts, 0).status());
  };
  EXPECT_EQ(reason(header.groups, {2, 3}), "");
  EXPECT_EQ(reason(header.groups, {2}), "BAD_GROUPS");
  EXPECT_EQ(reason(header.groups, {2, -1}), "BAD_GROUPS");
  EXPECT_EQ(reason({{0, 1, -1}}, {2}), "BAD_GROUPS");
  EXPECT_EQ(reason({{0, 3, -1}}, {2}), "BAD_GROUPS");
  EXPECT_EQ(reason({{1, 1, -1}, {0, 1, -1}}, {2, 2}), "BAD_GROUPS");
  EXPECT_EQ(reason({{0, 2, -1}, {2, 0, -1}}, {2, 2}), "BAD_GROUPS");
  EXPECT_EQ(reason(header.groups, {INT64_MAX / 4, 3}), "SIZE_OVERFLOW");
  EXPECT_EQ(reason(header.groups, {INT64_MAX / 20, INT64_MAX / 20}), "SIZE_OVERFLOW");
}

TEST(PositionsBytesTest, CountsOnlyGroupsThatDroppedSomething) {
  EXPECT_EQ(PositionsBytes({5, 10, 0}, 10), 20);
  EXPECT_EQ(PositionsBytes({10, 10}, 10), 0);
}

}  // namespace
}  // namespace chunkkv
