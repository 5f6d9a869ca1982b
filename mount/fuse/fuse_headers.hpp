// libfuse's low-level API in the version that we write for. 3.14 (Debian 12) is the floor.
#pragma once

#define FUSE_USE_VERSION 314  // NOLINT(readability-identifier-naming): libfuse's name
#include <fuse_lowlevel.h>
