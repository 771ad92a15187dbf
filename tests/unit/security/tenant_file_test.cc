#include "service/security/tenant_file.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "chunkkv/kernels/status.h"

namespace chunkkv {
namespace {

constexpr char kNobody[] = R"({"format": "chunkkv.tenants", "version": 1, "tenants": []})";
constexpr char kOne[] = R"({"format": "chunkkv.tenants", "version": 1, "tenants": [{"name": "a"}]})";

class TenantFileTest : public testing::Test {
 protected:
  ~TenantFileTest() override { std::remove(path_.c_str()); }

  void Write(const std::string& text) { std::ofstream(path_) << text; }
  size_t TenantCount(const TenantFile& file) { return file.Current()->Spaces().size(); }

  const std::string path_ = testing::TempDir() + "tenants-" + std::to_string(getpid()) + ".json";
};

TEST_F(TenantFileTest, FollowsTheFile) {
  Write(kNobody);
  const auto file = TenantFile::Load(path_, "");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(TenantCount(**file), 0U);
  EXPECT_EQ(*(*file)->Refresh(), false);
  const auto before = (*file)->Current();
  Write(kOne);
  EXPECT_EQ(*(*file)->Refresh(), true);
  EXPECT_EQ(TenantCount(**file), 1U);
  EXPECT_TRUE(before->Spaces().empty()) << "whoever holds the old one is not disturbed";
}

TEST_F(TenantFileTest, KeepsWhatItHadWhereTheFileIsWrongAndTellsItOnce) {
  Write(kOne);
  const auto file = TenantFile::Load(path_, "");
  ASSERT_TRUE(file.ok()) << file.status();
  Write("{");
  EXPECT_EQ(StatusReason((*file)->Refresh().status()), "BAD_TENANTS");
  EXPECT_EQ(*(*file)->Refresh(), false);
  EXPECT_EQ(TenantCount(**file), 1U);
  std::remove(path_.c_str());
  EXPECT_EQ(StatusReason((*file)->Refresh().status()), "FILE_NOT_FOUND");
  EXPECT_EQ(*(*file)->Refresh(), false);
  EXPECT_EQ(TenantCount(**file), 1U);
  Write(kNobody);
  EXPECT_EQ(*(*file)->Refresh(), true);
  EXPECT_EQ(TenantCount(**file), 0U);
}

TEST_F(TenantFileTest, RefusesWhatIsNoSuchFile) {
  EXPECT_EQ(StatusReason(TenantFile::Load(path_ + ".none", "").status()), "FILE_NOT_FOUND");
  EXPECT_EQ(StatusReason(TenantFile::Load(testing::TempDir(), "").status()), "BAD_TENANTS");
}

}  // namespace
}  // namespace chunkkv
