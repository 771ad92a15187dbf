// ConnectOptions of a routed client reach every replica: TLS, tokens and share groups.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/escaping.h"
#include "service/format/sha256.h"
#include "tests/unit/client/routed_cluster.h"
#include "tests/unit/client/test_certificate.h"

namespace chunkkv::client {
namespace {

class RoutedTenantsTest : public testing::Test {
 protected:
  RoutedTenantsTest() : folder_(testing::TempDir() + "chunkkv-tenants-" + std::to_string(getpid())) {
    std::filesystem::create_directories(folder_);
    const auto tenant = [](const std::string& name) {
      const std::string digest = absl::BytesToHexString(std::string(AsView(Sha256Of("token of " + name))));
      return R"({"name": ")" + name + R"(", "share_groups": ["docs"], "tokens": [{"sha256": ")" + digest + R"("}]})";
    };
    cluster_.emplace(std::vector<std::string>{
        "--tls-certificate", Write("server.pem", certificate_.certificate), "--tls-key",
        Write("server.key", certificate_.key), "--tenants",
        Write("tenants.json", R"({"format": "chunkkv.tenants", "version": 1, "share_groups": [{"name": "docs"}],
                                  "tenants": [)" + tenant("a") + ", " + tenant("b") + "]}")});
  }
  ~RoutedTenantsTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << content;
    return path;
  }

  std::unique_ptr<RoutedClient> Connect(const std::string& token, const std::string& group = "") {
    RoutedOptions options = cluster_->resolver().Options();
    options.connect.tls = {.root_certificates = certificate_.certificate, .certificate_chain = {}, .private_key = {}};
    options.connect.token = token;
    options.connect.share_group = group;
    return *RoutedClient::Connect({kClusterName}, options);
  }

  const TestCertificate certificate_ = MakeCertificate();
  const std::string folder_;
  std::optional<RoutedCluster> cluster_;
};

TEST_F(RoutedTenantsTest, EachHasItsOwnEntriesAndItsGroupsAtEveryReplica) {
  const auto own = Connect("token of a"), shared = Connect("token of a", "docs");
  const auto other = Connect("token of b"), reader = Connect("token of b", "docs");
  std::set<std::string> owners;
  for (uint32_t seed = 1; seed <= 6 || owners.size() < 2; ++seed) {
    ASSERT_LE(seed, 64) << "every key of 64 has the same owner";
    const ToyCache cache(100, seed);
    owners.insert(own->OrderOf(KeyOf(cache))[0]);
    const auto put = PutInto(*own, cache);
    ASSERT_TRUE(put.ok()) << put.status();
    const auto entry = own->Get(GetOf(cache));
    ASSERT_TRUE(entry.ok()) << entry.status();
    EXPECT_TRUE(IsWhole(*entry, cache));
    for (const auto& stranger : {&other, &shared, &reader}) {
      EXPECT_TRUE(absl::IsNotFound((*stranger)->Get(GetOf(cache)).status()));
    }
    ASSERT_TRUE(PutInto(*shared, cache).ok());
    EXPECT_TRUE(reader->Get(GetOf(cache)).ok());
    EXPECT_TRUE(absl::IsNotFound(other->Get(GetOf(cache)).status()));
  }
  for (const auto& [name, entries] : own->List()) EXPECT_FALSE(entries->empty()) << name;
}

TEST_F(RoutedTenantsTest, CredentialsHoldAtTheNextReplicaToo) {
  const auto client = Connect("token of a"), other = Connect("token of b");
  cluster_->Kill(client->Replicas()[0]);
  for (uint32_t seed = 1; seed <= 6; ++seed) {
    const ToyCache cache(100, seed);
    ASSERT_TRUE(PutInto(*client, cache).ok());
    EXPECT_TRUE(client->Get(GetOf(cache)).ok());
    EXPECT_TRUE(absl::IsNotFound(other->Get(GetOf(cache)).status()));
  }
}

TEST_F(RoutedTenantsTest, RefusedCredentialsAreTheAnswer) {
  const auto client = Connect("token of nobody");
  EXPECT_TRUE(absl::IsUnauthenticated(client->Get(GetOf(ToyCache(100))).status()));
  for (const auto& [name, stats] : client->GetStats()) EXPECT_TRUE(absl::IsUnauthenticated(stats.status())) << name;
  EXPECT_TRUE(absl::IsPermissionDenied(PutInto(*Connect("token of a", "not its"), ToyCache(100)).status()));
}

TEST_F(RoutedTenantsTest, AReplicaThatIsNotTrustedIsUnavailable) {
  RoutedOptions options = cluster_->resolver().Options();
  const std::string other = MakeCertificate().certificate;
  options.connect.tls = {.root_certificates = other, .certificate_chain = {}, .private_key = {}};
  const auto client = *RoutedClient::Connect({kClusterName}, options);
  EXPECT_TRUE(absl::IsUnavailable(client->Get(GetOf(ToyCache(100))).status()));
}

}  // namespace
}  // namespace chunkkv::client
