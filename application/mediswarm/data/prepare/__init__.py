"""From DICOM examinations of the breast to the volumes that the ODELIA pipeline reads."""
