// A certificate of its own authority, for a server at 127.0.0.1, made anew.
#ifndef CHUNKKV_TESTS_UNIT_CLIENT_TEST_CERTIFICATE_H_
#define CHUNKKV_TESTS_UNIT_CLIENT_TEST_CERTIFICATE_H_

#include <string>

namespace chunkkv::client {

// In PEM.
struct TestCertificate {
  std::string certificate;
  std::string key;
};

// Valid since yesterday.
TestCertificate MakeCertificate(long days = 1);

}  // namespace chunkkv::client

#endif  // CHUNKKV_TESTS_UNIT_CLIENT_TEST_CERTIFICATE_H_
