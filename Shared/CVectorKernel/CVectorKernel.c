#include "CVectorKernel.h"
