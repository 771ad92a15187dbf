#include "service/security/certificate_watch.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "chunkkv/kernels/status.h"
#include "tests/unit/client/test_certificate.h"

namespace chunkkv {
namespace {

constexpr int64_t kDayMs = int64_t{24} * 3600 * 1000;

class CertificateWatchTest : public testing::Test {
 protected:
  ~CertificateWatchTest() override {
    std::remove(files_.certificate.c_str());
    std::remove(files_.key.c_str());
  }

  static void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }
  void Write(const client::TestCertificate& pair) {
    Write(files_.certificate, pair.certificate);
    Write(files_.key, pair.key);
  }

  const std::string folder_ = testing::TempDir() + std::to_string(getpid());
  const TlsFiles files_{folder_ + "-server.pem", folder_ + "-server.key", ""};
};

TEST_F(CertificateWatchTest, FollowsARenewal) {
  Write(client::MakeCertificate());
  const auto watch = CertificateWatch::Start(files_);
  ASSERT_TRUE(watch.ok()) << watch.status();
  const int64_t first_end = (*watch)->end_unix_ms();
  EXPECT_EQ(*(*watch)->Refresh(), false);
  Write(client::MakeCertificate(/*days=*/30));
  EXPECT_EQ(*(*watch)->Refresh(), true);
  EXPECT_NEAR(static_cast<double>((*watch)->end_unix_ms() - first_end), 29.0 * kDayMs, 60'000);
  EXPECT_EQ(*(*watch)->Refresh(), false);
}

TEST_F(CertificateWatchTest, TellsWhatIsWrongOnceAndWhenItIsRightAgain) {
  const client::TestCertificate pair = client::MakeCertificate();
  Write(pair);
  const auto watch = CertificateWatch::Start(files_);
  ASSERT_TRUE(watch.ok()) << watch.status();
  const int64_t end = (*watch)->end_unix_ms();
  Write(files_.key, client::MakeCertificate().key);
  EXPECT_EQ(StatusReason((*watch)->Refresh().status()), "BAD_CERTIFICATE");
  EXPECT_EQ(*(*watch)->Refresh(), false);
  std::remove(files_.certificate.c_str());
  EXPECT_EQ(StatusReason((*watch)->Refresh().status()), "FILE_NOT_FOUND");
  EXPECT_EQ(*(*watch)->Refresh(), false);
  EXPECT_EQ((*watch)->end_unix_ms(), end);
  Write(pair);
  EXPECT_EQ(*(*watch)->Refresh(), true);
  EXPECT_EQ(*(*watch)->Refresh(), false);
}

TEST_F(CertificateWatchTest, DoesNotStartWithWrongFiles) {
  Write(files_.certificate, "none");
  Write(files_.key, "none");
  EXPECT_EQ(StatusReason(CertificateWatch::Start(files_).status()), "BAD_CERTIFICATE");
}

}  // namespace
}  // namespace chunkkv
