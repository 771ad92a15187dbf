#include "service/security/tenant_directory.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "service/format/sha256.h"

namespace chunkkv {
namespace {

constexpr int64_t kNow = 1'700'000'000'000;

BearerToken Token(const std::string& token, std::optional<int64_t> expires = {}, std::string audience = "") {
  return {Sha256Of(token), expires, std::move(audience)};
}

TenantAccount Account(std::string name, std::vector<BearerToken> tokens, std::vector<std::string> certificates = {},
                      std::vector<std::string> groups = {}) {
  return {std::move(name), std::move(tokens), std::move(certificates), std::move(groups), {}};
}

class TenantDirectoryTest : public testing::Test {
 protected:
  std::string OfToken(const std::string& token) {
    const auto account = directory_.OfToken(token, kNow);
    return account.ok() ? (*account)->name : StatusReason(account.status());
  }
  std::string OfCertificate(std::vector<std::string> names) {
    const auto account = directory_.OfCertificate(names);
    return account.ok() ? (*account)->name : StatusReason(account.status());
  }

  const TenantDirectory directory_{
      {Account("a", {Token("first"), Token("old", kNow), Token("young", kNow + 1)}, {"a.example", "spiffe://c/a"}, {"docs"}),
       Account("b", {Token("second"), Token("here", {}, "prod"), Token("there", {}, "staging")}, {"b.example"})},
      {{"docs", {}}},
      "prod"};
};

TEST_F(TenantDirectoryTest, KnowsTenantsByTheirTokens) {
  EXPECT_EQ(OfToken("first"), "a");
  EXPECT_EQ(OfToken("second"), "b");
  EXPECT_EQ(OfToken("young"), "a");
  EXPECT_EQ(OfToken("here"), "b");
}

TEST_F(TenantDirectoryTest, RefusesEveryOtherToken) {
  for (const std::string& token : {std::string(), std::string("firs"), std::string("first "), std::string(513, 'x')}) {
    EXPECT_EQ(OfToken(token), "WRONG_TOKEN") << token;
  }
  EXPECT_EQ(OfToken("old"), "TOKEN_EXPIRED");
  EXPECT_EQ(OfToken("there"), "TOKEN_AUDIENCE");
  EXPECT_EQ(directory_.OfToken("x", kNow).status().code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(TenantDirectoryTest, ATokenThatIsTooLongIsNobodysWhateverHashesAreKnown) {
  const std::string longest(kMaxTokenBytes, 'x');
  const TenantDirectory directory({Account("a", {Token(""), Token(longest), Token(longest + "x")})}, {}, "");
  EXPECT_TRUE(directory.OfToken(longest, kNow).ok());
  for (const size_t size : {kMaxTokenBytes + 1, size_t{8192}}) {
    EXPECT_EQ(StatusReason(directory.OfToken(std::string(size, 'x'), kNow).status()), "WRONG_TOKEN") << size;
  }
}

TEST_F(TenantDirectoryTest, KnowsTenantsByAnyNameOfTheirCertificates) {
  EXPECT_EQ(OfCertificate({"worker-7", "spiffe://c/a"}), "a");
  EXPECT_EQ(OfCertificate({"a.example", "spiffe://c/a"}), "a");
  EXPECT_EQ(OfCertificate({"b.example"}), "b");
  EXPECT_EQ(OfCertificate({}), "UNKNOWN_CERTIFICATE");
  EXPECT_EQ(OfCertificate({"c.example"}), "UNKNOWN_CERTIFICATE");
  EXPECT_EQ(OfCertificate({"a.example", "b.example"}), "UNKNOWN_CERTIFICATE") << "of two tenants";
}

TEST_F(TenantDirectoryTest, OnlyMembersEnterAGroup) {
  const TenantAccount& member = **directory_.OfToken("first", kNow);
  const TenantAccount& other = **directory_.OfToken("second", kNow);
  EXPECT_EQ(*TenantDirectory::SpaceOf(member, ""), "a");
  EXPECT_EQ(*TenantDirectory::SpaceOf(member, "docs"), "group/docs");
  const absl::Status of_existing = TenantDirectory::SpaceOf(other, "docs").status();
  EXPECT_EQ(StatusReason(of_existing), "NOT_IN_SHARE_GROUP");
  EXPECT_EQ(of_existing, TenantDirectory::SpaceOf(other, "none").status()) << "which groups there are is nobody's business";
}

}  // namespace
}  // namespace chunkkv
