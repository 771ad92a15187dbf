// Who owns a prompt: as tests/golden/routing/routing.json says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "chunkkv/client/routed_client.h"
#include "nlohmann/json.hpp"

namespace chunkkv::client {
namespace {

using nlohmann::json;

json Vectors(const char* of) {
  std::ifstream stream(CHUNKKV_SOURCE_DIR "/tests/golden/routing/routing.json");
  json vectors = json::parse(stream, nullptr, false)[of];
  EXPECT_FALSE(vectors.empty()) << of;
  return vectors;
}

TEST(RendezvousTest, OrdersAreTheVectors) {
  const json orders = Vectors("orders");
  EXPECT_GT(orders.size(), 20);
  for (const json& item : orders) {
    std::vector<std::string> expected;
    for (const json& pair : item["order"]) expected.push_back(pair[0]);
    EXPECT_EQ(RankReplicas(item["replicas"].get<std::vector<std::string>>(),
                           *FromHex(item["routing_key"].get<std::string>())),
              expected);
  }
}

TEST(RendezvousTest, APromptIsRoutedByItsFirstBlock) {
  for (const json& item : Vectors("prompts")) {
    Prompt prompt;
    prompt.tokens = item["tokens"].get<std::vector<uint32_t>>();
    EXPECT_EQ(ToHex(RoutingKeyOf(prompt)), item["routing_key"]);
  }
}

TEST(RendezvousTest, AKnownDigestOrKeyRoutesAsItIs) {
  Prompt prompt;
  prompt.key = Bytes32{1};
  EXPECT_EQ(RoutingKeyOf(prompt), AsView(Bytes32{1}));
  prompt.block_digests = {Bytes32{2}, Bytes32{3}};
  EXPECT_EQ(RoutingKeyOf(prompt), AsView(Bytes32{2}));
}

}  // namespace
}  // namespace chunkkv::client
