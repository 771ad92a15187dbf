#include "service/rpc/credential_resolver.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

#include "chunkkv/kernels/status.h"
#include "tests/support/fake_clock.h"

namespace chunkkv::rpc {
namespace {

class CredentialResolverTest : public testing::Test {
 protected:
  ~CredentialResolverTest() override { std::remove(path_.c_str()); }

  void Write(const std::string& members) {
    std::ofstream(path_) << R"({"format": "chunkkv.tenants", "version": 1, "tenants": [{"name": "a")" << members << "}]}";
  }
  Caller Proven() {
    return {.tenant = "a", .account = "a", .known_by = file_->Current(), .proven_ms = clock_.MonotonicMs()};
  }
  void Load() {
    file_ = *TenantFile::Load(path_, "");
    resolver_ = std::make_unique<CredentialResolver>(*file_, clock_);
  }

  const std::string path_ = testing::TempDir() + "resolver-tenants-" + std::to_string(getpid()) + ".json";
  FakeClock clock_;
  std::unique_ptr<TenantFile> file_;
  std::unique_ptr<CredentialResolver> resolver_;
};

TEST_F(CredentialResolverTest, AProofHoldsForAWhile) {
  Write("");
  Load();
  const Caller caller = Proven();
  EXPECT_FALSE(resolver_->StillHolds(Caller{.tenant = "a", .account = "a"}));
  clock_.AdvanceMs(CredentialResolver::kProofMs - 1);
  EXPECT_TRUE(resolver_->StillHolds(caller));
  clock_.AdvanceMs(1);
  EXPECT_FALSE(resolver_->StillHolds(caller));
}

TEST_F(CredentialResolverTest, AProofEndsWhenTheTenantsChange) {
  Write("");
  Load();
  const Caller caller = Proven();
  EXPECT_EQ(*file_->Refresh(), false);
  EXPECT_TRUE(resolver_->StillHolds(caller));
  Write(R"(, "quota": {"entries": 1})");
  EXPECT_EQ(*file_->Refresh(), true);
  EXPECT_FALSE(resolver_->StillHolds(caller));
  EXPECT_TRUE(resolver_->StillHolds(Proven()));
}

TEST_F(CredentialResolverTest, ChargesTheAccountOfAShareGroupsCaller) {
  Write(R"(, "quota": {"requests_per_second": 2})");
  Load();
  const Caller alone = Proven();
  Caller in_group = alone;
  in_group.tenant = "group/docs";
  EXPECT_TRUE(resolver_->Charge(alone).ok());
  EXPECT_TRUE(resolver_->Charge(in_group).ok());
  EXPECT_EQ(StatusReason(resolver_->Charge(in_group)), "RATE_LIMITED");
  EXPECT_EQ(StatusReason(resolver_->Charge(alone)), "RATE_LIMITED");
}

}  // namespace
}  // namespace chunkkv::rpc
