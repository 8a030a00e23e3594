// Columns of text as the field's tools print them: each as wide as its widest cell, a fixed gap
// between.
#pragma once

#include <string>
#include <vector>

namespace mizzen::cli {

class Table {
 public:
  // `gap`: spaces after the widest cell of a column; istioctl has 1 for listeners and 5 elsewhere.
  Table(std::vector<std::string> header, std::size_t gap = 5);

  void add(std::vector<std::string> row);
  std::size_t rows() const { return rows_.size() - 1; }
  // The last column is not padded, as with Go's tabwriter.
  std::string to_string() const;

 private:
  std::size_t gap_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace mizzen::cli
