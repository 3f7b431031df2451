/* A call of Linux that its C library shows only to those who ask for GNU's extensions. */
#define _GNU_SOURCE
#include "CVectorKernel.h"
#include <fcntl.h>

int store_write_out(int descriptor, int64_t offset, int64_t bytes) {
#if defined(__linux__)
    return sync_file_range(descriptor, offset, bytes,
                           SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
#else
    return 0;
#endif
}
