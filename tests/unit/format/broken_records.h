// Records that must be refused, and how: the cases of tests/golden/records.
#ifndef CHUNKKV_TESTS_UNIT_FORMAT_BROKEN_RECORDS_H_
#define CHUNKKV_TESTS_UNIT_FORMAT_BROKEN_RECORDS_H_

#include <string>
#include <vector>

namespace chunkkv {

struct BrokenRecord {
  std::string name;
  std::string bytes;
  std::string status;  // as in google.rpc.Code
  std::string reason;
  std::string says;  // part of the message: refused for this cause, not for another one
};

std::vector<BrokenRecord> BrokenRecords();

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_UNIT_FORMAT_BROKEN_RECORDS_H_
