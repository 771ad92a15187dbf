#include "service/security/tenant_parser.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "chunkkv/kernels/status.h"
#include "service/format/bytes.h"
#include "service/format/sha256.h"

namespace chunkkv {
namespace {

std::string HashOf(const std::string& token) { return ToHex(Sha256Of(token)); }

std::string FileOf(const std::string& tenants, const std::string& groups = "[]") {
  return absl::StrCat(R"({"format": "chunkkv.tenants", "version": 1, "tenants": )", tenants, R"(, "share_groups": )",
                      groups, "}");
}
std::string FileOfOne(const std::string& members) { return FileOf(absl::StrCat(R"([{"name": "a", )", members, "}]")); }

TEST(TenantParserTest, ReadsAllThatAFileMaySay) {
  const auto directory = ParseTenants(
      FileOf(absl::StrCat(R"([{"name": "search", "tokens": [{"sha256": ")", HashOf("secret"),
                          R"(", "expires": "2027-01-31T00:00:00Z", "audience": "prod"}],
        "certificates": ["spiffe://cluster/ns/search/sa/worker"], "share_groups": ["docs"],
        "quota": {"host_bytes": 1, "device_bytes": 2, "entries": 3, "in_flight_bytes": 4, "streams": 5,
                  "requests_per_second": 6, "max_pin_ms": 7}}, {"name": "chat"}])"),
             R"([{"name": "docs", "quota": {"entries": 9}}])"),
      "prod");
  ASSERT_TRUE(directory.ok()) << directory.status();
  EXPECT_EQ((*directory)->QuotaOf("search"), (TenantQuota{1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ((*directory)->QuotaOf("chat"), TenantQuota());
  EXPECT_EQ((*directory)->QuotaOf(TenantDirectory::SpaceOfGroup("docs")).entries, 9);
  EXPECT_EQ((*directory)->Spaces(), (std::vector<std::string>{"search", "chat", "group/docs"}));
  const auto account = (*directory)->OfToken("secret", 1'700'000'000'000);
  ASSERT_TRUE(account.ok()) << account.status();
  EXPECT_EQ((*account)->name, "search");
  EXPECT_EQ((*account)->tokens[0].expires_unix_ms, 1'801'353'600'000);
  EXPECT_EQ((*(*directory)->OfCertificate({"spiffe://cluster/ns/search/sa/worker"}))->name, "search");
}

TEST(TenantParserTest, NamesWhatIsWrongAndWhere) {
  const std::string hash = HashOf("secret");
  const std::pair<std::string, std::string> cases[] = {
      {"", "no JSON"},
      {"[]", "must be an object"},
      {"{}", "format must be"},
      {R"({"format": "chunkkv.tenants", "version": 2, "tenants": []})", "version must be 1"},
      {R"({"format": "chunkkv.tenants", "version": 1})", "list of tenants"},
      {R"({"format": "chunkkv.tenants", "version": 1, "tenants": [], "tenant": []})", "unknown member \"tenant\""},
      {FileOf("{}"), "tenants must be a list"},
      {FileOf("[1]"), "tenants[0]: must be an object"},
      {FileOf("[{}]"), "tenants[0]: name must be"},
      {FileOf(R"([{"name": "Upper"}])"), "name must be"},
      {FileOf(R"([{"name": "a/b"}])"), "name must be"},
      {FileOf(absl::StrCat(R"([{"name": ")", std::string(65, 'a'), R"("}])")), "name must be"},
      {FileOf(R"([{"name": "a"}, {"name": "a"}])"), "'a': there are two"},
      {FileOf("[]", R"([{"name": "g"}, {"name": "g"}])"), "two share groups 'g'"},
      {FileOfOne(R"("token": [])"), "unknown member \"token\""},
      {FileOfOne(R"("tokens": {})"), "'a': tokens must be a list"},
      {FileOfOne(R"("tokens": [{"sha256": "abcd"}])"), "'a': tokens[0]: sha256 must be"},
      {FileOfOne(absl::StrCat(R"("tokens": [{"sha256": ")", HashOf(""), R"("}])")), "tokens[0]: sha256 is that of"},
      {FileOfOne(R"("tokens": [{"token": "abcd"}])"), "unknown member \"token\""},
      {FileOfOne(absl::StrCat(R"("tokens": [{"sha256": ")", hash, R"(", "expires": "tomorrow"}])")), "expires must be"},
      {FileOfOne(absl::StrCat(R"("tokens": [{"sha256": ")", hash, R"(", "audience": ""}])")), "audience must be"},
      {FileOfOne(absl::StrCat(R"("tokens": [{"sha256": ")", hash, R"("}, {"sha256": ")", hash, R"("}])")),
       "a token stands twice"},
      {FileOfOne(R"("certificates": [""])"), "certificates: a name"},
      {FileOfOne(R"("certificates": ["x", "x"])"), "a certificate name stands twice"},
      {FileOfOne(R"("share_groups": ["docs"])"), "no share group 'docs'"},
      {FileOfOne(R"("quota": {"host_bytes": -1})"), "'a': quota: host_bytes must be"},
      {FileOfOne(R"("quota": {"host_bytes": "1GiB"})"), "'a': quota: host_bytes must be"},
      {FileOfOne(R"("quota": {"hostbytes": 1})"), "unknown member \"hostbytes\""},
  };
  for (const auto& [text, wanted] : cases) {
    const auto directory = ParseTenants(text, "");
    ASSERT_FALSE(directory.ok()) << text;
    EXPECT_EQ(StatusReason(directory.status()), "BAD_TENANTS") << text;
    EXPECT_NE(std::string(directory.status().message()).find(wanted), std::string::npos) << directory.status();
    EXPECT_EQ(std::string(directory.status().message()).find(hash), std::string::npos) << directory.status();
  }
}

}  // namespace
}  // namespace chunkkv
