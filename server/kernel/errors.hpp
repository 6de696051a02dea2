// The one error of the kernel.

#pragma once

#include <stdexcept>

namespace prudence {

// The caller gave something that the definition does not allow. The message names it.
class InputError : public std::invalid_argument {
  public:
    using std::invalid_argument::invalid_argument;
};

}  // namespace prudence
